"""Optax runs that go on here: the numbers of their state in our slots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import DictKey, GetAttrKey

from gdmethods._engine.built import init_told
from gdmethods._engine.hyperparameters import scalar
from gdmethods._engine.states import is_state, slots_of
from gdmethods._engine.transformations import transformation_first
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
from gdmethods._states.porting import UNTOLD, filled, finished, is_count, numbers
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
"""For each of our states the states of Optax with its numbers; some are private in Optax."""

_WRAPPERS = (Float32MasterState, StochasticRoundingState, SkipNonfiniteStepsState)
"""The states of wrappers that Optax lacks."""

_OTHER_NAMES = {"trace": "velocity", "prev_updates": "sign"}


def from_optax(
    tx: optax.GradientTransformation,
    params: optax.Params,
    state: optax.OptState,
    *,
    learning_rate: float | jax.Array | Mapping[Any, Any] | None = None,
    count: int | None = None,
) -> optax.OptState:
    """The state with which `tx` continues a run of an Optax optimizer.

    Optax keeps the numbers of these methods under the same names, except:

        velocity = −η trace    if Optax multiplies by η after its trace
        nu = nu − |mu|²    centered RMSProp's variance
        sign = sign(prev_updates)    Rprop's

    `optax.rprop` lags: it returns each move one update later. Its last move was
    not made and is dropped; the next update has no lag.

    Arguments:
      tx: the transformation that goes on, with the same hyperparameters. Each
        method of gdmethods replaces Optax's, within the same chains, partitions
        and wrappers. You may add wrappers of gdmethods and an
        `accumulator_dtype`, replace `optax.apply_if_finite` by
        `skip_nonfinite_steps`, and remove an `optax.inject_hyperparams` without
        schedules. If it stays, the state's learning rate and momentum stay too,
        unless they are scheduled.
      params: the parameters at the end of the Optax run.
      state: of `optax.sgd`, `adagrad`, `adadelta`, `rprop`, `rmsprop`, `adam`
        or `adamw`, or of their parts (`optax.scale_by_adam`, `trace`).
      learning_rate: η of the last update, for `optax.sgd` with a momentum. It
        is not needed if `optax.inject_hyperparams` keeps it. If several methods
        of an `optax.partition` have a momentum, pass a mapping from its labels
        to their rates; for a partition within a partition, a nested mapping.
      count: updates so far. It is needed if the state has no count and an
        update of `tx` depends on it; otherwise the state counts from 0.

    Returns:
      A state like `tx.init(params)`. A number that is wider than its slot is
      rounded to nearest.

    Raises:
      ValueError: the state was made for other parameters; `learning_rate` or
        `count` is needed and was not given, or is out of range; one
        `learning_rate` is given for several velocities; the momentum of a
        `nesterov` in `tx` is a schedule, and the state does not have the
        momentum of the last update.
      TypeError: the state belongs to another method or schedule, or has other
        slots than `tx`; or it is of centered RMSProp with bias correction, and
        does not have decay.

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
    ours, told = init_told(transformation_first("from_optax", tx, params), params)
    starts = {id(built.state): built.method.slots.starts for built in told}
    past = _Past(starts, _checked("learning_rate", learning_rate), None, [])
    return finished(tx, params, _carried(ours, state, past, ()), count)


def _checked(name: str, rate: Any) -> Any:
    if isinstance(rate, Mapping):
        return {label: _checked(f"{name}[{label!r}]", each) for label, each in rate.items()}
    return None if rate is None else scalar(name, rate, "[0, inf)")


class _Past(NamedTuple):
    """What is known of the past updates, besides the states.

    Attributes:
      starts: the starts of a state's fields here, by its id.
      rate: η of the last update, or a mapping from the labels of a partition.
      injected: the hyperparameters of the last update; None if Optax keeps
        none.
      scaled: the paths of the traces that this rate has multiplied.
    """

    starts: Mapping[int, Mapping[str, Any]]
    rate: Any
    injected: Mapping[str, Any] | None
    scaled: list[Any]

    def of_label(self, label: Any) -> _Past:
        """Within a partition."""
        if not isinstance(self.rate, Mapping):
            return self
        return self._replace(rate=self.rate.get(label), scaled=[])

    def within(self, hyperparams: Mapping[str, Any]) -> _Past:
        """Within `optax.inject_hyperparams`, whose arrays a framework may have wrapped."""
        injected = {name: x for name, each in hyperparams.items() for x in jax.tree.leaves(each)}
        if isinstance(self.rate, Mapping) or "learning_rate" not in injected:
            return self._replace(injected=injected)
        return self._replace(rate=injected["learning_rate"], injected=injected, scaled=[])


def _carried(ours: Any, theirs: Any, past: _Past, path: tuple[Any, ...]) -> Any:
    """The numbers of `theirs` in the form of `ours`."""
    if isinstance(ours, SkipNonfiniteStepsState) and isinstance(theirs, optax.ApplyIfFiniteState):
        counts = {name: getattr(theirs, name) for name in ("notfinite_count", "total_notfinite")}
        ours, theirs = ours._replace(**counts), theirs.inner_state
    if isinstance(ours, _WRAPPERS) and type(theirs) is not type(ours):
        inner = _carried(ours.inner_state, theirs, past, path)
        return ours._replace(inner_state=inner)
    if isinstance(theirs, optax.InjectStatefulHyperparamsState):
        past = past.within(theirs.hyperparams)
        if type(ours) is not type(theirs):
            if theirs.hyperparams_states:
                raise TypeError(
                    f"The state {at_path(path)} has a schedule of "
                    f"{', '.join(theirs.hyperparams_states)}, but tx has none. Put "
                    "optax.inject_hyperparams with the same schedules around the method."
                )
            return _carried(ours, theirs.inner_state, past, path)
        theirs = theirs._replace(
            hyperparams=_hyperparams(ours, theirs, past.injected),
            hyperparams_states=_schedules(ours, theirs),
        )
    if is_state(ours):
        return _method_state(ours, theirs, past, path)
    if isinstance(ours, optax.PartitionState) and _name(theirs) == _name(ours):
        return ours._replace(
            inner_states={
                label: _carried(
                    part,
                    theirs.inner_states[label],
                    past.of_label(label),
                    (*path, GetAttrKey("inner_states"), DictKey(label)),
                )
                for label, part in ours.inner_states.items()
            }
        )
    leaves = jax.tree.leaves(theirs)
    if jax.tree.leaves(ours) == [] == leaves:
        return ours
    is_leaf = jax.tree_util.all_leaves([ours]) and not hasattr(theirs, "_fields")
    if is_leaf and len(leaves) == 1:  # which a framework may have wrapped
        return jnp.asarray(leaves[0], ours.dtype)
    (parts, node), (others, other_node) = one_level(ours), one_level(theirs)
    if node != other_node:
        if not isinstance(ours, Mapping):
            _require_no_dict(theirs, path)
        raise TypeError(
            f"The state {at_path(path)} is {_name(theirs)}, where tx keeps {_name(ours)}. Put the "
            "methods of gdmethods into the same chain, partition or wrapper that Optax's methods "
            "were in, with the same schedules."
        )
    return jax.tree.unflatten(
        node,
        [
            _carried(part, other, past, (*path, *key))
            for (key, part), (_, other) in zip(parts, others, strict=True)
        ],
    )


def _require_no_dict(theirs: Any, path: tuple[Any, ...]) -> None:
    if isinstance(theirs, Mapping):
        raise TypeError(
            f"The state {at_path(path)} is a plain dict, as checkpoints are read by default. "
            "Restore it into the state of Optax's optimizer first: "
            "flax.serialization.from_state_dict(optimizer.init(params), state), for instance."
        )


def _name(node: Any) -> str:
    """A node's type, with the keys of its dict."""
    of = getattr(node, "inner_states", node)
    keys = f" of {', '.join(sorted(map(str, of))) or 'nothing'}" if isinstance(of, Mapping) else ""
    return f"{type(node).__name__}{keys}"


def _hyperparams(ours: Any, theirs: Any, injected: Any) -> dict[str, Any]:
    """The hyperparameters of `tx`, but the old rate and momentum: a number set by hand stays."""
    scheduled = {*ours.hyperparams_states, *theirs.hyperparams_states}
    kept = ({"learning_rate", "momentum"} & {*ours.hyperparams} & {*injected}) - scheduled
    stay = {name: jnp.asarray(injected[name], ours.hyperparams[name].dtype) for name in kept}
    return {**ours.hyperparams, **stay}


def _schedules(ours: Any, theirs: Any) -> dict[str, Any]:
    """The states of the injected schedules, from the old state.

    A new schedule that depends only on the count gets the count of updates. The
    count of a schedule that was removed is dropped.
    """
    here, there = ours.hyperparams_states, theirs.hyperparams_states
    new = {name: x._replace(count=theirs.count) for name, x in here.items() if is_count(x)}
    came = {name: x for name, x in there.items() if name in here or not is_count(x)}
    return new | came


def _method_state(ours: Any, theirs: Any, past: _Past, path: tuple[Any, ...]) -> Any:
    """The state of a method, from the state of an Optax chain or of one of its links."""
    starts, ours = past.starts.get(id(ours), {}), read_state(ours)
    chain = jax.tree.leaves(theirs, is_leaf=lambda node: hasattr(node, "_fields"))
    links = {type(link).__name__: link for link in chain if jax.tree.leaves(link)}
    known = {*_SOURCES.get(type(ours), "").split(), "ScaleByScheduleState"}
    fields: dict[str, Any] = {}
    for link in links.values():
        fields |= getattr(link, "_asdict", dict)()
    count = fields.pop("count", UNTOLD)
    came = {_OTHER_NAMES.get(name, name): tree for name, tree in fields.items()}
    kept = slots_of(ours)
    if not links.keys() <= known:
        _require_no_dict(theirs, path)
    if "ScaleByRStdDevWithCountState" in links:
        raise TypeError(
            "The variance of centered RMSProp with bias correction depends on decay, which the "
            f"state {at_path(path)} does not have. Take Optax's count, mu and nu, and pass "
            "tx.init(params)._replace(count=count, mu=mu, nu=nu - |mu|² / (1 - decay ** count)) "
            "to tx.update."
        )
    if not links.keys() <= known or came.keys() != {*kept}:
        raise TypeError(
            f"The state {at_path(path)} holds {', '.join(links) or 'no numbers'}, and tx keeps "
            f"{type(ours).__name__}({', '.join(kept)}) there. from_optax takes the state of the "
            "same method with the same options, in the same chain, partition or wrapper."
        )
    if kept and _is_chain(theirs) and any(map(_is_chain, theirs)):
        raise TypeError(
            f"The state {at_path(path)} is the state of a chain around the method, such as "
            "clipping. Put the method here into the same chain: optax.chain(…, gdmethods.adam(…))."
        )
    slots = {name: numbers(came[name], getattr(ours, name), name) for name in kept}
    if "velocity" in slots and not isinstance(chain[-1], optax.TraceState):
        rate = _rate(past, path)
        slots["velocity"] = jax.tree.map(lambda trace: -rate * trace, slots["velocity"])
    slots = {name: jax.tree.map(_real, tree, getattr(ours, name)) for name, tree in slots.items()}
    if "mu" in slots and isinstance(ours, RMSPropState):
        slots["nu"] = jax.tree.map(_variance, slots["nu"], slots["mu"])
    if "sign" in slots:
        slots["sign"] = jax.tree.map(jnp.sign, slots["sign"])
    if isinstance(ours, NesterovState):
        ours = ours._replace(next_momentum=_momentum(ours, starts, past, path))
    return filled(ours, slots, count)


def _rate(past: _Past, path: tuple[Any, ...]) -> Any:
    """η of the last update, which Optax does not keep in the trace."""
    past.scaled.append(path)
    if past.rate is None:
        raise ValueError(
            f"Optax multiplies the trace of the state {at_path(path)} by the learning rate, and "
            "the velocity here is the product. Pass the learning_rate of the last update."
        )
    if isinstance(past.rate, Mapping):
        raise ValueError(
            f"learning_rate has the labels {', '.join(map(repr, past.rate))}, but the state "
            f"{at_path(path)} is in no optax.partition with labels. Pass one number."
        )
    if len(past.scaled) > 1:
        first, second = map(at_path, past.scaled)
        raise ValueError(
            f"One learning_rate came for two velocities, {first} and {second}. Pass a mapping "
            "from the labels of optax.partition, such as learning_rate={'a': 0.1, 'b': 0.01}. In "
            "a chain take over the state of each link by itself."
        )
    return past.rate


def _momentum(
    ours: Any, starts: Mapping[str, Any], past: _Past, path: tuple[Any, ...]
) -> jax.Array:
    """μ of the last update, by which the parameters look ahead."""
    momentum, injected = starts.get("next_momentum"), past.injected
    changes = callable(momentum) or (injected is not None and isinstance(momentum, jax.Array))
    if momentum is not None and not changes:
        next_momentum: jax.Array = ours.next_momentum
        return next_momentum
    if injected is not None and "momentum" in injected:
        return jnp.asarray(injected["momentum"], ours.next_momentum.dtype)
    way_out = (
        "Take the state over with a tx that has this momentum as a number. Then pass it to the "
        "tx with the schedule."
        if injected is None
        else 'Put it into the given state, as hyperparams["momentum"].'
    )
    raise ValueError(
        f"The parameters look ahead by the momentum of the last update. The state {at_path(path)} "
        f"does not have it, and the momentum of tx changes. {way_out}"
    )


def _is_chain(node: Any) -> bool:
    """Whether it is the state of a chain; each method of Optax is a chain of one level."""
    return isinstance(node, tuple) and not hasattr(node, "_fields") and bool(jax.tree.leaves(node))


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
