"""Keras 3's optimizers in Keras' words: `keras.optimizers`' argument names, defaults and numbers.

Learning rates take schedules as everywhere else; η is inside of the velocity,
as in Keras. `weight_decay` λ is decoupled: −ηₜ λ w is added to the update.
Options of Keras' base class that wrap a method (clipnorm, use_ema,
gradient_accumulation_steps, …) are refused by name: Optax has each of them as
a transformation to chain or wrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._adadelta import AdaDeltaState
from gdmethods._adadelta import adadelta as published_adadelta
from gdmethods._adagrad import AdaGradState
from gdmethods._adagrad import adagrad as published_adagrad
from gdmethods._adam import AdamState
from gdmethods._adam import adam as published_adam
from gdmethods._adamw import decaying
from gdmethods._arithmetic import one_minus_power
from gdmethods._hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    at,
    flag,
    float_dtype,
    is_zero,
    optional,
    scalar,
    scalar_or_schedule,
)
from gdmethods._momentum import MomentumState
from gdmethods._momentum import momentum as published_momentum
from gdmethods._nesterov import NesterovState
from gdmethods._nesterov import nesterov as published_nesterov
from gdmethods._rmsprop import RMSPropState
from gdmethods._rmsprop import rmsprop as published_rmsprop
from gdmethods._sgd import SGDState
from gdmethods._sgd import sgd as published_sgd
from gdmethods._words import ELSEWHERE, refusing
from gdmethods.dialects._amsgrad import AMSGradState
from gdmethods.dialects._amsgrad import amsgrad as largest_squares
from gdmethods.dialects._conversion import Conversion, Convert, array, like
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

_AVERAGE = (
    "which averages the weights beside the method; in the loop, from the first weights on, "
    "average = optax.incremental_update(params, average, 1 - ema_momentum)"
)
_REFUSED = ELSEWHERE | {
    "clipnorm": (
        "which clips each gradient by its own norm; chain optax.clip_by_global_norm before, in "
        "optax.partition if leaf by leaf"
    ),
    "clipvalue": "which is optax.clip before it in a chain",
    "global_clipnorm": "which is optax.clip_by_global_norm before it in a chain",
    "use_ema": _AVERAGE,
    "ema_momentum": _AVERAGE,
    "ema_overwrite_frequency": _AVERAGE,
    "loss_scale_factor": "which scales the loss; chain optax.scale(1 / factor) before it",
    "gradient_accumulation_steps": "which is optax.MultiSteps around it",
    "name": "since a transformation has none; optax.named_chain names parts",
}


@refusing(_REFUSED)
def sgd(
    learning_rate: ScalarOrSchedule = 0.01,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.SGD`.

        mₜ = μ mₜ₋₁ − ηₜ gₜ
        Δₜ = mₜ, or μ mₜ − ηₜ gₜ with nesterov

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]. With 0 nesterov is ignored, as in Keras.
      nesterov: look ahead.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of m, as in `gdmethods.momentum`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.sgd(0.1, momentum=0.9, nesterov=True)

    Elsewhere: without weight_decay, `gdmethods.sgd`, `momentum` or `nesterov`.

    Source: https://keras.io/api/optimizers/sgd/
    """
    nesterov = flag("nesterov", nesterov)
    mu = optional("momentum", momentum, "[0, 1]")
    float_dtype("accumulator_dtype", accumulator_dtype)
    if is_zero(mu):
        method = published_sgd(learning_rate)
    elif nesterov:
        method = published_nesterov(learning_rate, mu, accumulator_dtype=accumulator_dtype)
    else:
        method = published_momentum(learning_rate, mu, accumulator_dtype=accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adagrad(
    learning_rate: ScalarOrSchedule = 0.001,
    initial_accumulator_value: Scalar = 0.1,
    epsilon: Scalar = 1e-7,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adagrad`.

        sₜ = sₜ₋₁ + gₜ²,    s₀ = initial_accumulator_value
        Δₜ = −ηₜ gₜ / √(sₜ + ε)

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      initial_accumulator_value: s₀ ≥ 0.
      epsilon: ε ≥ 0, inside of the root.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of s, as in `gdmethods.adagrad`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adagrad(0.01)

    Elsewhere: `gdmethods.adagrad` starts from 0, with ε = 1e-10 outside of the
    root.

    Source: https://keras.io/api/optimizers/adagrad/
    """
    method = published_adagrad(
        learning_rate,
        eps=0.0,
        eps_root=scalar("epsilon", epsilon, "[0, inf)"),
        initial_accumulator_value=initial_accumulator_value,
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adadelta(
    learning_rate: ScalarOrSchedule = 0.001,
    rho: Scalar = 0.95,
    epsilon: Scalar = 1e-7,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adadelta`.

        aₜ = ρ aₜ₋₁ + (1 − ρ) gₜ²
        δₜ = √(bₜ₋₁ + ε) / √(aₜ + ε) · gₜ
        bₜ = ρ bₜ₋₁ + (1 − ρ) δₜ²
        Δₜ = −ηₜ δₜ

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      rho: ρ in [0, 1).
      epsilon: ε ≥ 0.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of a and b, as in `gdmethods.adadelta`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adadelta(1.0)

    Elsewhere: `gdmethods.adadelta` has the paper's η = 1, and ε = 1e-6.

    Source: https://keras.io/api/optimizers/adadelta/
    """
    method = published_adadelta(
        learning_rate,
        rho,
        scalar("epsilon", epsilon, "[0, inf)"),
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def rmsprop(
    learning_rate: ScalarOrSchedule = 0.001,
    rho: Scalar = 0.9,
    momentum: Scalar | None = None,
    epsilon: Scalar = 1e-7,
    centered: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.RMSprop`.

        νₜ = ρ νₜ₋₁ + (1 − ρ) gₜ²
        Δₜ = μ Δₜ₋₁ − ηₜ gₜ / √(νₜ + ε), with νₜ − mₜ² for νₜ if centered

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      rho: ρ in [0, 1).
      momentum: μ in [0, 1].
      epsilon: ε ≥ 0, inside of the root.
      centered: subtract the square of the running mean m.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of ν and m, as in `gdmethods.rmsprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.rmsprop(1e-3, momentum=0.9)

    Elsewhere: `gdmethods.rmsprop` has ε = 1e-8 outside of the root.

    Source: https://keras.io/api/optimizers/rmsprop/
    """
    method = published_rmsprop(
        learning_rate,
        scalar("rho", rho, "[0, 1)"),
        eps=0.0,
        eps_root=scalar("epsilon", epsilon, "[0, inf)"),
        centered=centered,
        momentum=optional("momentum", momentum, "[0, 1]"),
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adam(
    learning_rate: ScalarOrSchedule = 0.001,
    beta_1: Scalar = 0.9,
    beta_2: Scalar = 0.999,
    epsilon: Scalar = 1e-7,
    amsgrad: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adam`, with the ε̂ of the paper's section 2.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ
        vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²
        Δₜ = −ηₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · mₜ / (√vₜ + ε̂)

    With amsgrad, vₜ is the largest so far.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      beta_1: β₁ in [0, 1).
      beta_2: β₂ in [0, 1).
      epsilon: ε̂ ≥ 0. It weighs as ε = ε̂ / √(1 − β₂ᵗ) does: at first 32 times
        as much.
      amsgrad: keep the largest v; in bfloat16 it gathers the noise of v, and is
        some 5 % too large.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of m and v, as in `gdmethods.adam`; with amsgrad
        "8bit" is refused, since the largest v would climb by its noise.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adam(1e-3)

    Elsewhere: `gdmethods.adam` adds its ε = 1e-8 to the root of the corrected
    v̂.

    Source: https://keras.io/api/optimizers/adam/
    """
    method = _adam(learning_rate, beta_1, beta_2, epsilon, amsgrad, accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adamw(
    learning_rate: ScalarOrSchedule = 0.001,
    weight_decay: Scalar | None = 0.004,
    beta_1: Scalar = 0.9,
    beta_2: Scalar = 0.999,
    epsilon: Scalar = 1e-7,
    amsgrad: bool = False,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.AdamW`: its Adam, with a weight decay by default.

        Δₜ = −ηₜ λ wₜ − ηₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · mₜ / (√vₜ + ε̂)

    m and v are those of `adam`.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      weight_decay: λ ≥ 0, decoupled; or None.
      beta_1: β₁ in [0, 1).
      beta_2: β₂ in [0, 1).
      epsilon: ε̂ ≥ 0, as in `adam`.
      amsgrad: keep the largest v; in bfloat16 it gathers the noise of v, and is
        some 5 % too large.
      accumulator_dtype: of m and v, as in `gdmethods.adam`; with amsgrad
        "8bit" is refused, since the largest v would climb by its noise.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adamw(1e-3, weight_decay=0.01)

    Elsewhere: `gdmethods.adamw` has λ = 1e-4, and adds its ε = 1e-8 to the
    root of the corrected v̂.

    Source: https://keras.io/api/optimizers/adamw/
    """
    method = _adam(learning_rate, beta_1, beta_2, epsilon, amsgrad, accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


def _adam(
    learning_rate: ScalarOrSchedule,
    beta_1: Scalar,
    beta_2: Scalar,
    epsilon: Scalar,
    amsgrad: bool,
    accumulator_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    learning_rate = scalar_or_schedule("learning_rate", learning_rate, "[0, inf)")
    b1 = scalar("beta_1", beta_1, "[0, 1)")
    b2 = scalar("beta_2", beta_2, "[0, 1)")
    eps_hat = scalar("epsilon", epsilon, "[0, inf)")

    def rate(count: jax.Array) -> Any:
        t = optax.safe_increment(count)
        correction = jnp.sqrt(one_minus_power(b2, t)) / one_minus_power(b1, t)
        return at(learning_rate, count) * correction

    if flag("amsgrad", amsgrad):
        return largest_squares(
            rate, b1, b2, eps_hat, bias_correction=False, accumulator_dtype=accumulator_dtype
        )
    return published_adam(
        rate, b1, b2, eps_hat, bias_correction=False, accumulator_dtype=accumulator_dtype
    )


def _decayed(
    method: optax.GradientTransformationExtraArgs,
    learning_rate: ScalarOrSchedule,
    weight_decay: Scalar | None,
) -> optax.GradientTransformationExtraArgs:
    """The method, and Keras' decay of the weights that it is about to move."""
    return method if weight_decay is None else decaying(method, learning_rate, weight_decay)


def _ours(slots: Any) -> Any:
    """Keras subtracts the momentum of RMSProp, and here the velocity is added."""
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
"""Keras lists the first two slots of these weight by weight, and all others slot by slot."""


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
      tx: the optimizer of before, built with the functions of this module; in
        chains and wrappers as well.
      parameters: the named weights in the optimizer's order, as
        `{v.path: v for v in model.trainable_variables}`: variables, or NumPy
        arrays.
      variables: `optimizer.variables`, or their arrays, in that order.
      convert: from a dict of such weights, as NumPy arrays, to the tree of the
        parameters here. It transposes, reshapes, splits, joins, repeats and
        casts, so that it converts the optimizer's state as well.
      use_ema: whether the optimizer had it. The average is not taken over.
      gradient_accumulation_steps: of the optimizer, which must have used up
        what it accumulated.
      dtype: of the parameters; None for what `convert` makes.

    Returns:
      `(params, state)`. Slots have the dtypes of `tx.init(params)`; a
      `with_float32_master` takes the weights before they are cast to `dtype`.

    Raises:
      ValueError: `convert` drops elements or computes with them; the variables
        are of another optimizer, or of other options; a shape differs;
        gradients are accumulated halfway.
      TypeError: `tx` keeps a state that no optimizer of Keras has.

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
    return carried_over(tx, conversion, named, entries, _TABLE, dtype=dtype)


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
      state: that of `tx`.
      parameters: the named weights of before, or of the model that is to go
        on: they lend names, shapes and dtypes.
      variables: those of its optimizer, which was built; they lend dtypes, the
        learning rate and the average of `use_ema`.
      convert, use_ema, gradient_accumulation_steps: as in `from_variables`.

    Returns:
      `(parameters, variables)`, NumPy arrays to assign, each to its own:
      `for v, x in zip(optimizer.variables, variables): v.assign(x)`.

    Raises:
      ValueError: `convert` drops elements or computes with them, or copies of
        one that it repeats have come to differ; the optimizer has other
        variables.
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
    """What each variable is: Keras' name for it, and that of its parameter."""
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
            "more with a learning rate that is no schedule. Build tx as the optimizer before, pass"
            " all trainable variables, and the optimizer's use_ema and "
            "gradient_accumulation_steps."
        )
    places = alone + places
    for (field, name), variable in zip(places, variables, strict=True):
        if not getattr(variable, "name", field).endswith(field):
            raise ValueError(
                f"The variable {variable.name!r} came where tx keeps {field} of {name!r}. Build "
                "tx as the optimizer before: the same method, with the same options."
            )
    return places
