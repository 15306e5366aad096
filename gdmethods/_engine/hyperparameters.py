"""What a hyperparameter may be: checked while a transformation is built, read when it steps.

A hyperparameter is a number (Python's, NumPy's or a JAX scalar); learning
rates and momenta may also be schedules. A concrete number outside its interval
raises an error with its name. A tracer has no value to check: it reaches the
rules as an input of the compiled step, while Python's numbers are constants of
it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._numbers.eight_bits import EIGHT_BITS, LEAST_ROOT

Scalar: TypeAlias = float | jax.Array
ScalarOrSchedule: TypeAlias = float | jax.Array | optax.Schedule


def scalar(name: str, value: Any, interval: str) -> Scalar:
    """The hyperparameter as a Python float or a JAX scalar.

    Arguments:
      name: for messages.
      value: Python's, NumPy's or JAX' number.
      interval: such as "[0, 1)"; a tracer has no value to check.

    Raises:
      ValueError, TypeError: it is outside the interval, no scalar or no number.
    """
    if callable(value):
        raise TypeError(
            f"{name} must be a number in {interval}, got a function. Only learning rates and the "
            "momenta of gdmethods' own methods may be schedules. To schedule another number, use "
            "optax.inject_hyperparams."
        )
    if isinstance(value, bool) or not isinstance(
        value, int | float | np.number | np.ndarray | jax.Array
    ):
        raise TypeError(f"{name} must be a number in {interval}, got {value!r}.")
    dtype = jnp.result_type(value)
    if jnp.shape(value) != ():
        raise ValueError(
            f"{name} must be a scalar, got shape {jnp.shape(value)}. To try several values at "
            "once, jax.vmap over a function that builds the transformation."
        )
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{name} must be a real number in {interval}, got one of dtype {dtype}.")
    if not _is_traced(value) and not _contains(interval, float(value)):
        message = f"{name} must be in {interval}, got {float(value)}"
        if isinstance(value, jax.Array) and jnp.finfo(dtype).bits < 32:
            message += (
                f" as {dtype}. If optax.inject_hyperparams cast it to the parameters' dtype, pass "
                "it hyperparam_dtype=jnp.float32"
            )
        raise ValueError(f"{message}.")
    return value if isinstance(value, jax.Array) else float(value)


def scalar_or_schedule(name: str, value: Any, interval: str) -> ScalarOrSchedule:
    """As `scalar`; a callable of the step count is called by `at`, and must return a scalar."""
    if callable(value):
        _require_schedule(name, value)
        return functools.partial(_scheduled, name, value)
    if isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        return scalar(name, value, interval)
    raise TypeError(f"{name} must be a number in {interval} or a schedule, got {value!r}.")


def _require_schedule(name: str, value: Callable[..., Any]) -> None:
    """Refuses a function that cannot be called with a count, such as a factory of schedules."""
    try:
        inspect.signature(value).bind(0)
    except TypeError as error:
        what = getattr(value, "__name__", repr(value))
        raise TypeError(
            f"{name} must be a number or a schedule. A schedule is called with the step count, "
            f"and {what} cannot be: {error}. If it makes schedules, call it: {name}={what}(…)."
        ) from None
    except ValueError:  # it has no signature to look at
        pass


def _scheduled(name: str, schedule: Callable[[Any], Any], count: jax.Array) -> Any:
    try:
        value = schedule(count)
    except Exception as error:
        if not hasattr(error, "__notes__"):  # of a dialect, whose name for it the user knows
            error.add_note(f"{name} was taken for a schedule and called with the step count.")
        raise
    if not isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        raise TypeError(
            f"{name} is a schedule that returned {type(value).__name__} for a step. Pass a "
            "function from the count to a number, such as optax.cosine_decay_schedule(0.1, 1000)."
        )
    if jnp.shape(value) != ():
        raise ValueError(
            f"{name} is a schedule that returned shape {jnp.shape(value)}. Return a scalar."
        )
    return value


def optional(
    name: str, value: Any, interval: str, check: Callable[..., Any] = scalar
) -> ScalarOrSchedule:
    """The hyperparameter as `check` returns it; 0 for None."""
    checked: ScalarOrSchedule = 0.0 if value is None else check(name, value, interval)
    return checked


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Two values under one name, as in PyTorch."""
    arrays = isinstance(value, np.ndarray | jax.Array) and value.shape == (2,)
    if not arrays and not (isinstance(value, tuple | list) and len(value) == 2):
        raise TypeError(f"{name} must be a pair of numbers, got {value!r}.")
    first, second = value
    return first, second


def at(value: ScalarOrSchedule, count: jax.Array) -> Scalar:
    """The value of a schedule after `count` updates; or the number, if it is one."""
    return jnp.asarray(value(count)) if callable(value) else value


def is_zero(value: ScalarOrSchedule) -> bool:
    """Whether it is Python's 0, which no step can change.

    A slot that is multiplied by it need not be kept.
    """
    return isinstance(value, float) and value == 0.0


def ordered(low_name: str, low: Scalar, high_name: str, high: Scalar) -> None:
    """Raises `ValueError` if both are concrete and low > high."""
    if not (_is_traced(low) or _is_traced(high)) and low > high:
        raise ValueError(f"{low_name} must not exceed {high_name}, got {low} and {high}.")


def choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """One of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    return value


def flag(name: str, value: Any) -> bool:
    """A Python bool; it decides what is compiled."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, known before compilation, got {value!r}.")
    return bool(value)


def whole_number(name: str, value: Any) -> int | None:
    """A Python integer from 0, or None; it decides what is compiled."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number or None, got {value!r}.")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}.")
    return int(value)


_MEANT = {
    **dict.fromkeys(["8-bit", "8 bit", "8bits", "8", "fp8", "float8"], '"8bit"'),
    **dict.fromkeys(["bf16", "bfloat16"], "jnp.bfloat16"),
    **dict.fromkeys(["fp32", "f32", "float32", "float"], "jnp.float32"),
    **dict.fromkeys(["fp64", "f64", "float64", "double"], "jnp.float64"),
}
"""Other names of dtypes, PyTorch's among them, and how they are written here."""


def float_dtype(name: str, value: Any) -> jnp.dtype | None:
    """The dtype that is meant; None for each parameter's own, float32 for narrower ones.

    bfloat16 has float32's range and is rounded stochastically. Other narrow
    dtypes raise an error: in float16, squares overflow or underflow. "8bit"
    becomes the dtype of its codes.
    """
    if value is None:
        return None
    if isinstance(value, str) and value == "8bit":
        return EIGHT_BITS
    if isinstance(value, jax.Array):  # optax.inject_hyperparams calls jnp.bfloat16 as a schedule
        value = value.dtype
    meant = _MEANT.get(str(value).removeprefix("torch."), "")
    try:
        dtype: jnp.dtype = jnp.dtype(value)
    except (TypeError, ValueError) as error:
        hint = f" Write {meant}." if meant else ""
        raise TypeError(f'{name} must be a dtype, "8bit" or None, got {value!r}.{hint}') from error
    if dtype in (jnp.uint8, jnp.int8):
        raise TypeError(f'{name} must be a dtype, "8bit" or None, got {dtype}. Write "8bit".')
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must be a real floating-point dtype or None, got {dtype}.")
    if dtype not in (jnp.bfloat16, jnp.float32, jnp.float64):
        raise ValueError(
            f"{name} must be bfloat16, float32 or float64, got {dtype}, in which the squares of "
            "ordinary gradients overflow or underflow. Take jnp.bfloat16, which has the range of "
            "float32."
        )
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(f"{name}={dtype} needs 64-bit JAX: set jax.config's jax_enable_x64.")
    return dtype


def in_eight_bits(
    name: str,
    value: Scalar,
    dtype: jnp.dtype | None,
    *,
    power: int = 1,
    times: Scalar = 1.0,
) -> None:
    """Raises an error for a concrete number > 0 that 8 bits do not tell from 0.

    Multiplied by `times`, it is below the smallest √v > 0 (v, with a power of 2).
    """
    if dtype != EIGHT_BITS or _is_traced(value) or _is_traced(times):
        return
    least = LEAST_ROOT**power / float(times)
    if 0 < value < least:
        raise ValueError(
            f'{name} must be 0 or at least {least:.2g} with accumulator_dtype="8bit", got '
            f"{float(value)}: 8 bits keep no smaller {'root of a ' * (power == 1)}square. Take a "
            f"larger {name}, or jnp.bfloat16."
        )


def eps_in_root(name: str, value: Any, accumulator_dtype: Any, *, times: Scalar = 1.0) -> Scalar:
    """An ε ≥ 0, which is added to a square after multiplication by `times`."""
    eps = scalar(name, value, "[0, inf)")
    dtype = float_dtype("accumulator_dtype", accumulator_dtype)
    in_eight_bits(name, eps, dtype, power=2, times=times)
    return eps


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def _contains(interval: str, x: float) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = low <= x if interval[0] == "[" else low < x
    below = x <= high if interval[-1] == "]" else x < high
    return above and below
