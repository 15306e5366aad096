"""PyTorch's optimizers in PyTorch's words: `torch.optim`'s argument names, defaults and numbers.

Learning rates take schedules as everywhere else; η stays outside of the
velocity, as in PyTorch. `maximize` turns the gradient's sign, and
`weight_decay` λ then adds λ w to it. Options for how PyTorch runs (foreach,
fused, capturable, differentiable) raise an error; `jax.jit` does this. PyTorch
takes a complex weight as two real ones; wrap a dialect in
`optax.contrib.split_real_and_imaginary` for that. With eps = 0 a weight that
never had a gradient stays; PyTorch's becomes NaN. Ranges are those of the
methods here: PyTorch also admits a momentum or an alpha above 1, a dampening
outside of [0, 1] and rho = 1.

`from_state_dict` takes over a run that has begun, with its state, and
`to_state_dict` is the way back.
"""

from gdmethods.dialects.torch._optimizers import (
    RMSPropState,
    SGDState,
    adadelta,
    adagrad,
    adam,
    adamw,
    rmsprop,
    rprop,
    sgd,
)
from gdmethods.dialects.torch._state_dict import from_state_dict, to_state_dict

__all__ = [
    "RMSPropState",
    "SGDState",
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "from_state_dict",
    "rmsprop",
    "rprop",
    "sgd",
    "to_state_dict",
]
