"""A run that Optax began goes on here: its state's numbers in the slots of ours."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import scalar
from gdmethods._engine.states import is_state, slots_of
from gdmethods._engine.transformations import transformation
from gdmethods._engine.trees import at_path, one_level
from gdmethods._methods.adadelta import AdaDeltaState
from gdmethods._methods.adagrad import AdaGradState
from gdmethods._methods.adam import AdamState
from gdmethods._methods.momentum import MomentumState
from gdmethods._methods.nesterov import NesterovState
from gdmethods._methods.rmsprop import RMSPropState
from gdmethods._methods.rprop import RpropState
from gdmethods._methods.sgd import SGDState
from gdmethods._states.conversion import read_state
from gdmethods._states.porting import UNTOLD, filled, finished, numbers
from gdmethods._wrappers.masters import Float32MasterState
from gdmethods._wrappers.skip_nonfinite_steps import SkipNonfiniteStepsState
from gdmethods._wrappers.stochastic_rounding import StochasticRoundingState

_SOURCES: dict[type, str] = {
    SGDState: "",
    MomentumState: "TraceState",
    NesterovState: "TraceState",
    AdaGradState: "ScaleByRssState",
    AdaDeltaState: "ScaleByAdaDeltaState",
    RpropState: "ScaleByRpropState",
    RMSPropState: "ScaleByRmsState ScaleByRmsWithCountState ScaleByRStdDevState TraceState",
    AdamState: "ScaleByAdamState",
}
"""The states of Optax whose numbers a state of ours takes; some of them Optax keeps private."""

_WRAPPERS = (Float32MasterState, StochasticRoundingState, SkipNonfiniteStepsState)
"""The states of wrappers that Optax lacks."""

_OTHER_NAMES = {"trace": "velocity", "prev_updates": "sign"}


def from_optax(
    tx: optax.GradientTransformation,
    params: optax.Params,
    state: optax.OptState,
    *,
    learning_rate: float | jax.Array | None = None,
    count: int | None = None,
) -> optax.OptState:
    """The state with which `tx` goes on where an optimizer of Optax has stopped.

    Optax keeps the numbers of these methods under the same names, except:

        velocity = −η trace    where Optax multiplies by η after its trace
        nu = nu − |mu|²    centered RMSProp's variance
        sign = sign(prev_updates)    Rprop's

    `optax.rprop` lags: it returns each move in the update after. Its last one
    was not made and is dropped; the next update is without lag.

    Arguments:
      tx: the transformation that is to go on, with the hyperparameters of the
        one before; each method of gdmethods stands where Optax's stood, within
        the same chains, partitions and wrappers. Wrappers of gdmethods may be
        new, and so may an `accumulator_dtype`.
      params: the parameters where Optax has left them.
      state: of `optax.sgd`, `adagrad`, `adadelta`, `rprop`, `rmsprop`, `adam`
        or `adamw`, or of their parts (`optax.scale_by_adam`, `trace`).
      learning_rate: η of the last update, for `optax.sgd` with a momentum. One
        that `optax.inject_hyperparams` keeps is read there.
      count: updates so far, where the state does not tell and an update of
        `tx` depends on it. Where none does, the state counts from 0.

    Returns:
      A state like that of `tx.init(params)`. A number that is wider than its
      slot is rounded to the nearest.

    Raises:
      ValueError: the state was made for other parameters; `learning_rate` or
        `count` is needed and was not given, or is out of range.
      TypeError: the state is of another method, or holds what `tx` does not
        keep, or lacks what it keeps; or it is of centered RMSProp with bias
        correction, and does not tell decay.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> old, w = optax.adam(0.1), jnp.array([1.0, -2.0])
      >>> _, state = old.update(2 * w, old.init(w), w)
      >>> tx = gdmethods.adam(0.1)
      >>> state = gdmethods.from_optax(tx, w, state)
      >>> _, state = tx.update(2 * w, state, w)
      >>> int(state.count)
      2

    Elsewhere: `gdmethods.dialects.torch.from_state_dict` and
    `gdmethods.dialects.keras.from_variables` take over the runs of PyTorch and
    Keras.
    """
    ours = read_state(transformation("tx", tx).init(params))
    rate = None if learning_rate is None else scalar("learning_rate", learning_rate, "[0, inf)")
    return finished(tx, params, _carried(ours, state, rate, ()), count)


def _carried(ours: Any, theirs: Any, rate: Any, path: tuple[Any, ...]) -> Any:
    """The numbers of `theirs` in the form of `ours`."""
    if is_state(ours):
        return _method_state(ours, theirs, rate, path)
    if isinstance(ours, _WRAPPERS) and type(theirs) is not type(ours):
        inner = _carried(ours.inner_state, theirs, rate, path)
        return ours._replace(inner_state=inner)
    if isinstance(ours, optax.InjectStatefulHyperparamsState) and type(theirs) is type(ours):
        rate = theirs.hyperparams.get("learning_rate", rate)
        return ours._replace(
            count=theirs.count,
            hyperparams_states=jax.tree.map(lambda _: theirs.count, ours.hyperparams_states),
            inner_state=_carried(ours.inner_state, theirs.inner_state, rate, path),
        )
    leaves = jax.tree.leaves(theirs)
    if jax.tree.leaves(ours) == [] == leaves:
        return ours
    if jax.tree_util.all_leaves([ours]) and len(leaves) == 1:  # which a framework may have wrapped
        return jnp.asarray(leaves[0], ours.dtype)
    (parts, node), (others, other_node) = one_level(ours), one_level(theirs)
    if node != other_node:
        raise TypeError(
            f"The state {at_path(path)} is {type(theirs).__name__}, where tx keeps "
            f"{type(ours).__name__}. Put the methods of gdmethods into the same chain, partition "
            "or wrapper as those of Optax before."
        )
    return jax.tree.unflatten(
        node,
        [
            _carried(part, other, rate, (*path, *key))
            for (key, part), (_, other) in zip(parts, others, strict=True)
        ],
    )


def _method_state(ours: Any, theirs: Any, rate: Any, path: tuple[Any, ...]) -> Any:
    """The state of a method, from that of a chain of Optax's or of one of its links."""
    chain = jax.tree.leaves(theirs, is_leaf=lambda node: hasattr(node, "_fields"))
    links = {type(link).__name__: link for link in chain if jax.tree.leaves(link)}
    known = {*_SOURCES.get(type(ours), "").split(), "ScaleByScheduleState"}
    fields: dict[str, Any] = {}
    for link in links.values():
        fields |= getattr(link, "_asdict", dict)()
    count = fields.pop("count", UNTOLD)
    came = {_OTHER_NAMES.get(name, name): tree for name, tree in fields.items()}
    kept = slots_of(ours)
    if "ScaleByRStdDevWithCountState" in links:
        raise TypeError(
            "The variance of centered RMSProp with bias correction depends on decay, which the "
            f"state {at_path(path)} does not tell. Pass tx.init(params)._replace(count=count, "
            "mu=mu, nu=nu - |mu|² / (1 - decay ** count)), of Optax's count, mu and nu, to "
            "tx.update."
        )
    if not links.keys() <= known or came.keys() != {*kept}:
        raise TypeError(
            f"The state {at_path(path)} holds {', '.join(links) or 'no numbers'}, and tx keeps "
            f"{type(ours).__name__}({', '.join(kept)}) there. from_optax takes the state of the "
            "same method with the same options, in the same chain, partition or wrapper."
        )
    slots = {name: numbers(came[name], getattr(ours, name), name) for name in kept}
    if "velocity" in slots and not isinstance(chain[-1], optax.TraceState):
        if rate is None:
            raise ValueError(
                f"Optax multiplies the trace of the state {at_path(path)} by the learning rate, "
                "and the velocity here is the product. Pass learning_rate, that of the last "
                "update."
            )
        slots["velocity"] = jax.tree.map(lambda trace: -rate * trace, slots["velocity"])
    slots = {name: jax.tree.map(_real, tree, getattr(ours, name)) for name, tree in slots.items()}
    if "mu" in slots and isinstance(ours, RMSPropState):
        slots["nu"] = jax.tree.map(_variance, slots["nu"], slots["mu"])
    if "sign" in slots:
        slots["sign"] = jax.tree.map(jnp.sign, slots["sign"])
    return filled(ours, slots, count)


def _variance(nu: jax.Array, mu: jax.Array) -> jax.Array:
    return jnp.maximum(nu - abs(mu) ** 2, 0)


def _real(x: jax.Array, like: jax.Array) -> jax.Array:
    """Squared magnitudes, which Optax keeps as complex numbers."""
    if not jnp.iscomplexobj(x) or jnp.iscomplexobj(like):
        return x
    if jnp.any(x.imag != 0):
        raise ValueError(
            "The state has squares of complex numbers, where tx keeps squared magnitudes. Start "
            "from tx.init(params)."
        )
    return x.real
