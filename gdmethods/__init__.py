"""gdmethods: the gradient-descent methods of a lecture, exact to their papers.

Every method is a pure `optax.GradientTransformationExtraArgs`. Its alias
(`adam`) is a whole optimizer. Its core (`scale_by_adam`) is the same without a
learning rate, for your own chain. Write your own rule with `gdmethods.rules`,
as these methods are written.

Each method has one state, a NamedTuple. Read and write its fields by name, at
any depth: `optax.tree.get(opt_state, "velocity")`,
`optax.tree.set(opt_state, velocity=…)`. A wrapper may have a field of the same
name, as `optax.inject_hyperparams` has `count`. Then find the method's state by
its own name: `optax.tree.get(opt_state, "AdamState").count`.
"""

from typing import Any

from gdmethods._costs.state_bytes import state_bytes
from gdmethods._costs.step_bytes import StepBytes, step_bytes
from gdmethods._methods.adadelta import AdaDeltaState, adadelta, scale_by_adadelta
from gdmethods._methods.adagrad import AdaGradState, adagrad, scale_by_rss
from gdmethods._methods.adam import AdamState, adam, scale_by_adam
from gdmethods._methods.adamw import adamw
from gdmethods._methods.adaptive_gains import AdaptiveGainsState, adaptive_gains, scale_by_gains
from gdmethods._methods.momentum import MomentumState, momentum, velocity
from gdmethods._methods.momentum_schedule import sutskever_momentum_schedule
from gdmethods._methods.nesterov import NesterovState, nesterov, nesterov_velocity
from gdmethods._methods.nesterov_eval_params import nesterov_eval_params
from gdmethods._methods.rmsprop import RMSPropState, rmsprop, scale_by_rms
from gdmethods._methods.rprop import RpropState, rprop, scale_by_rprop
from gdmethods._methods.sgd import SGDState, scale_by_learning_rate, sgd
from gdmethods._states.conversion import convert_state, read_state
from gdmethods._states.from_optax import from_optax
from gdmethods._states.state_ranges import StateRange, state_ranges
from gdmethods._wrappers.float32_master import with_float32_master
from gdmethods._wrappers.master_params import init_from_float32, master_params
from gdmethods._wrappers.masters import Float32MasterState
from gdmethods._wrappers.skip_nonfinite_steps import SkipNonfiniteStepsState, skip_nonfinite_steps
from gdmethods._wrappers.stochastic_rounding import (
    StochasticRoundingState,
    with_stochastic_rounding,
)

__version__ = "0.1.0"

__all__ = [  # in the lecture's order
    "SGDState",
    "scale_by_learning_rate",
    "sgd",
    "MomentumState",
    "momentum",
    "sutskever_momentum_schedule",
    "velocity",
    "NesterovState",
    "nesterov",
    "nesterov_eval_params",
    "nesterov_velocity",
    "AdaptiveGainsState",
    "adaptive_gains",
    "scale_by_gains",
    "AdaGradState",
    "adagrad",
    "scale_by_rss",
    "AdaDeltaState",
    "adadelta",
    "scale_by_adadelta",
    "RpropState",
    "rprop",
    "scale_by_rprop",
    "RMSPropState",
    "rmsprop",
    "scale_by_rms",
    "AdamState",
    "adam",
    "adamw",
    "scale_by_adam",
    "Float32MasterState",
    "with_float32_master",
    "init_from_float32",
    "master_params",
    "StochasticRoundingState",
    "with_stochastic_rounding",
    "read_state",
    "convert_state",
    "StateRange",
    "state_ranges",
    "SkipNonfiniteStepsState",
    "skip_nonfinite_steps",
    "from_optax",
    "state_bytes",
    "StepBytes",
    "step_bytes",
]

_OTHER_NAMES = {
    "scale_by_adagrad": "scale_by_rss",
    "scale_by_rmsprop": "scale_by_rms",
    "scale_by_stddev": "scale_by_rms(centered=True)",
    "scale_by_momentum": "velocity",
    "scale_by_nesterov": "nesterov_velocity",
    "scale_by_adaptive_gains": "scale_by_gains",
    "trace": "velocity",
    "amsgrad": "dialects.torch.adam(amsgrad=True)",
}


def __getattr__(name: str) -> Any:
    if name in _OTHER_NAMES:
        raise AttributeError(f"gdmethods.{name} is gdmethods.{_OTHER_NAMES[name]}.")
    raise AttributeError(f"module 'gdmethods' has no attribute {name!r}")
