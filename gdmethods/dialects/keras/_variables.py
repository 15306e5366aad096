"""Keras runs carried over: the variables of a `keras.optimizers` optimizer, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optax

from gdmethods._methods.adadelta import AdaDeltaState
from gdmethods._methods.adagrad import AdaGradState
from gdmethods._methods.adam import AdamState
from gdmethods._methods.momentum import MomentumState
from gdmethods._methods.nesterov import NesterovState
from gdmethods._methods.rmsprop import RMSPropState
from gdmethods._methods.sgd import SGDState
from gdmethods.dialects._amsgrad import AMSGradState
from gdmethods.dialects._element_map import Conversion, Convert, array, like
from gdmethods.dialects._entries import (
    Words,
    carried_over,
    count_of,
    entries_of,
    mean_of_squares,
    only_state,
    require_like,
    variance,
    weights_of,
)


def _ours(slots: Any) -> Any:
    """Keras subtracts RMSProp's momentum; the velocity here is added."""
    return variance(_turned(slots))


def _theirs(slots: Any) -> Any:
    return _turned(mean_of_squares(slots))


def _turned(slots: Any) -> Any:
    return slots | {"velocity": -slots["velocity"]} if "velocity" in slots else slots


_TABLE = {
    SGDState: Words({}),
    MomentumState: Words({"velocity": "momentum"}),
    NesterovState: Words({"velocity": "momentum"}),
    AdaGradState: Words({"sum_of_squares": "accumulator"}),
    AdaDeltaState: Words({"e_g": "accumulated_grad", "e_x": "accumulated_delta_var"}),
    RMSPropState: Words(
        {"nu": "velocity", "velocity": "momentum", "mu": "average_gradient"},
        ours=_ours,
        theirs=_theirs,
    ),
    AdamState: Words({"mu": "momentum", "nu": "velocity"}),
    AMSGradState: Words({"mu": "momentum", "nu": "velocity", "nu_max": "velocity_hat"}),
}
_INTERLEAVED = (AdaDeltaState, AdamState, AMSGradState)
"""For these Keras lists the first two slots weight by weight, and all others slot by slot."""


def from_variables(
    tx: optax.GradientTransformation,
    parameters: Mapping[str, Any],
    variables: Iterable[Any],
    convert: Convert,
    *,
    use_ema: bool = False,
    gradient_accumulation_steps: int | None = None,
    dtype: Any = None,
) -> tuple[optax.Params, optax.OptState]:
    """The parameters and the state of a Keras run, with which `tx` goes on.

    Arguments:
      tx: the same optimizer, built with the functions of this module, alone or
        in chains and wrappers.
      parameters: the named weights in the optimizer's order, as
        `{v.path: v for v in model.trainable_variables}`: variables, or NumPy
        arrays.
      variables: `optimizer.variables`, or their arrays, in that order.
      convert: from a dict of such weights, as NumPy arrays, to the tree of the
        parameters here. It transposes, reshapes, splits, joins, repeats and
        casts, so that it converts the optimizer's state as well.
      use_ema: whether the optimizer had it. The average is not taken over.
      gradient_accumulation_steps: of the optimizer, which must not be halfway
        through an accumulation.
      dtype: of the parameters; None for what `convert` makes.

    Returns:
      `(params, state)`. Slots have the dtypes of `tx.init(params)`. The masters
      of `with_float32_master` are the weights before the cast to `dtype`.

    Raises:
      ValueError: `convert` drops elements or computes with them; the variables
        are of another optimizer, or of options that keep other variables; a
        shape differs; gradients are accumulated halfway; an injected schedule
        of `tx` has a state of its own.
      TypeError: `tx` keeps a state that no optimizer of Keras has.

    Warns:
      UserWarning: learning_rate of `tx` differs from the variable. The
        variables do not contain β, ρ, ε, μ and λ: build `tx` with the values of
        `optimizer.get_config()`.

    Example:
      >>> import numpy as np, gdmethods.dialects
      >>> weights = {"dense/kernel": np.ones((2, 3), np.float32)}
      >>> momentum = np.full((2, 3), 0.5)
      >>> variables = [np.int32(7), np.float32(0.1), momentum]  # of SGD
      >>> convert = lambda named: {"kernel": named["dense/kernel"]}
      >>> tx = gdmethods.dialects.keras.sgd(0.1, momentum=0.9)
      >>> params, state = gdmethods.dialects.keras.from_variables(
      ...     tx, weights, variables, convert
      ... )
      >>> int(state.count), state.velocity["kernel"].shape
      (7, (2, 3))

    Elsewhere: `to_variables` is the way back.
    """
    named = {name: array(x) for name, x in parameters.items()}
    conversion = Conversion(named, convert)
    variables = [*variables]
    places = _places(tx, conversion, variables, use_ema, gradient_accumulation_steps)
    steps = gradient_accumulation_steps or 1
    count, halfway = divmod(int(array(variables[0])), steps)
    if halfway:
        raise ValueError(
            f"iteration is {count * steps + halfway}, so that {halfway} of {steps} gradients are "
            "accumulated, and tx would lose them. Carry the run over after a whole number of "
            "accumulations."
        )
    entries: dict[str, dict[str, Any]] = {name: {"step": count} for name in named}
    for (field, name), variable in zip(places, variables, strict=True):
        if name and field not in _BESIDE:
            entries[name][field] = variable
    told = {
        field: array(x)
        for (field, _), x in zip(places, variables, strict=True)
        if field == "learning_rate"
    }
    options = dict.fromkeys(named, told)
    return carried_over(tx, conversion, named, entries, _TABLE, options, {}, dtype=dtype)


def to_variables(
    tx: optax.GradientTransformation,
    params: optax.Params,
    state: optax.OptState,
    parameters: Mapping[str, Any],
    variables: Iterable[Any],
    convert: Convert,
    *,
    use_ema: bool = False,
    gradient_accumulation_steps: int | None = None,
) -> tuple[dict[str, Any], list[Any]]:
    """The way back of `from_variables`: named weights and variables for Keras.

    Arguments:
      tx: the transformation.
      params: the parameters.
      state: the state of `tx`.
      parameters: the named weights of before, or of the model that is to go
        on; they give names, shapes and dtypes.
      variables: the variables of its optimizer, which must be built; they give
        dtypes, the learning rate and the average of `use_ema`.
      convert, use_ema, gradient_accumulation_steps: as in `from_variables`.

    Returns:
      `(parameters, variables)`, NumPy arrays to assign, each to its own:
      `for v, x in zip(optimizer.variables, variables): v.assign(x)`.

    Raises:
      ValueError: `convert` drops elements or computes with them, or repeats an
        element whose copies now differ; the optimizer has other variables.
      TypeError: `tx` keeps another state, or one that no optimizer of Keras
        has.

    Example:
      >>> import numpy as np, gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.sgd(0.1)
      >>> params = {"kernel": np.ones((2, 3), np.float32)}
      >>> parameters, variables = gdmethods.dialects.keras.to_variables(
      ...     tx, params, tx.init(params), {"dense/kernel": np.zeros((2, 3))},
      ...     [np.int32(7), np.float32(0.1)],
      ...     lambda named: {"kernel": named["dense/kernel"]},
      ... )
      >>> print(variables[0])
      0

    Elsewhere: `from_variables` is the way here.
    """
    require_like(tx, params, state)
    conversion = Conversion({name: array(x) for name, x in parameters.items()}, convert)
    variables = [*variables]
    places = _places(tx, conversion, variables, use_ema, gradient_accumulation_steps)
    weights = weights_of(params, state, conversion)
    entries = entries_of(state, conversion, _TABLE)
    new = {
        ("iteration", ""): count_of(state) * (gradient_accumulation_steps or 1),
        **{("gradient_accumulator", name): np.zeros(x.shape) for name, x in weights.items()},
        **{(field, name): x for name, entry in entries.items() for field, x in entry.items()},
    }
    return (
        {name: like(x, weights[name]) for name, x in parameters.items()},
        [like(x, new.get(place, x)) for place, x in zip(places, variables, strict=True)],
    )


_BESIDE = ("average", "gradient_accumulator")


def _places(
    tx: optax.GradientTransformation,
    conversion: Conversion,
    variables: list[Any],
    use_ema: bool,
    gradient_accumulation_steps: int | None,
) -> list[tuple[str, str]]:
    """What each variable is: Keras' name for it, and the name of its parameter."""
    names = [*conversion.shapes]
    state_type, slots = only_state(tx, conversion.tree, _TABLE)
    fields = [field for slot, field in _TABLE[state_type].names.items() if slot in slots]
    rows = [[field] for field in fields]
    if state_type in _INTERLEAVED:
        rows = [fields[:2], *([field] for field in fields[2:])]
    wanted = [use_ema, gradient_accumulation_steps is not None]
    rows = [[field] for field, there in zip(_BESIDE, wanted, strict=True) if there] + rows
    places = [(field, name) for row in rows for name in names for field in row]
    alone = [("iteration", ""), ("learning_rate", "")][: max(len(variables) - len(places), 1)]
    if len(alone) + len(places) != len(variables):
        raise ValueError(
            f"{len(variables)} variables came, and tx, with {state_type.__name__}"
            f"({', '.join(slots)}), has {len(places) + 1} for {len(names)} parameters, or one "
            "more with a learning rate that is no schedule. Build tx like the optimizer, and pass "
            "all trainable variables and the optimizer's use_ema and gradient_accumulation_steps."
        )
    places = alone + places
    for (field, name), variable in zip(places, variables, strict=True):
        if not getattr(variable, "name", field).endswith(field):
            raise ValueError(
                f"The variable {variable.name!r} came where tx keeps {field} of {name!r}. Build "
                "tx like the optimizer: the same method with the same options."
            )
    return places
