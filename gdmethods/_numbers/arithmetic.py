"""The few operations of the papers that floating point does not get right by itself."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods._numbers.dtypes import promoted


def squarable(x: jax.Array, slot: jax.Array) -> jax.Array:
    """x as a number whose square `slot` can keep.

        min(max(x, −2⁶²), 2⁶²),    2⁵¹⁰ in float64

    So the square is finite, and so are the sum of seven such squares and the
    square of a difference. Infinities are clipped too. Of a complex number,
    each part is clipped.

    Arguments:
      x: a gradient.
      slot: the square that keeps it, as in `g = squarable(g, s.nu)`.

    Example:
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import squarable
      >>> x = jnp.array([-jnp.inf, 3.0])
      >>> print(squarable(x, x))
      [-4.611686e+18  3.000000e+00]
    """
    # XLA repeats a single operation wherever g is read. To keep infinities takes two operations,
    # and XLA stores their result: one more pass.
    if jnp.iscomplexobj(x):
        return jax.lax.complex(squarable(x.real, slot), squarable(x.imag, slot))
    return clipped(x, 2.0 ** (jnp.finfo(slot.dtype).maxexp // 2 - 2)).astype(slot.dtype)


def clipped(x: jax.Array, largest: float) -> jax.Array:
    """x clipped to [−largest, largest]; of a complex number, each part."""
    if jnp.iscomplexobj(x):
        return jax.lax.complex(clipped(x.real, largest), clipped(x.imag, largest))
    limit = np.asarray(largest, x.dtype)
    return jax.lax.clamp(-limit, x, limit)


def square(x: jax.Array) -> jax.Array:
    """|x|²: g² of a real gradient, the squared magnitude of a complex one."""
    return jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else x * x


def positive(x: jax.Array, eps: Any = 0.0) -> jax.Array:
    """x ≥ 0, or the smallest normal number if x is smaller.

    Divide by its root. Then 0/0 is 0, so that a weight without gradients stays,
    and a square that underflowed counts as the smallest normal number. If the
    caller adds an eps that hides the difference, x is returned unchanged.

    Example:
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import positive
      >>> print(jnp.zeros(1) / jnp.sqrt(positive(jnp.zeros(1))))
      [0.]
    """
    least = float(jnp.finfo(x.dtype).tiny)
    return x if _hides(eps, least, x.dtype) else jnp.maximum(x, least)


def _hides(eps: Any, least: float, dtype: jnp.dtype) -> bool:
    """Whether it is known before compilation that least + eps equals eps to the bit."""
    return isinstance(eps, float) and float(jnp.finfo(dtype).eps) / 4 * eps > least


def root(x: jax.Array, eps: Any, eps_root: Any = 0.0, correction: Any = 1.0) -> jax.Array:
    """√(x / correction + eps_root) + eps for a square x; never 0.

    x counts as `positive(x)`. Terms that change no bit are left out, since each
    costs time to compile.

    Arguments:
      x: a square, ≥ 0.
      eps, eps_root: ε ≥ 0.
      correction: the divisor of x, in (0, 1]; 1 for none.

    Example:
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import root
      >>> print(root(jnp.array([4.0, 0.0]), 1e-8))
      [2.e+00 1.e-08]
    """
    corrected = not (isinstance(correction, float) and correction == 1.0)
    if corrected or not _hides(eps, math.sqrt(float(jnp.finfo(x.dtype).tiny)), x.dtype):
        x = positive(x)
    if corrected:
        x = x / correction
    if not (isinstance(eps_root, float) and eps_root == 0.0):
        x = x + eps_root
    root: jax.Array = sqrt(x) + eps
    return root


@jax.custom_jvp
def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y. Its derivative does not square y, since the square could underflow."""
    return x / y


@divide.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[Any, Any]:
    (_, y), (dx, dy) = primals, tangents
    quotient = divide(*primals)
    return quotient, (dx - quotient * dy) / y


@jax.custom_jvp
def sqrt(x: jax.Array) -> jax.Array:
    """√x with the derivative 0 at 0.

    So `jax.grad` through a training run is finite.

    Example:
      >>> import jax
      >>> from gdmethods.rules import sqrt
      >>> print(jax.grad(sqrt)(0.0))
      0.0
    """
    return jnp.sqrt(x)


@sqrt.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    root = sqrt(*primals)
    zero = root == 0
    return root, jnp.where(zero, 0.0, tangents[0] / jnp.where(zero, 1.0, 2.0 * root))


def sign(x: jax.Array) -> jax.Array:
    """−1, 0 or 1; 0 for NaN.

    Denormal numbers keep their sign, although XLA compares them as 0.

    Raises:
      TypeError: x is complex.

    Example:
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import sign
      >>> print(sign(jnp.array([-2.0, 0.0, 1e-40])))
      [-1.  0.  1.]
    """
    if jnp.iscomplexobj(x):
        raise TypeError(
            "A complex number has no sign. Wrap the transformation in "
            "optax.contrib.split_real_and_imaginary, or leave complex weights out with "
            "optax.masked."
        )
    integer = jnp.dtype(f"int{8 * x.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(x, integer)
    bits = jnp.where(bits == jnp.iinfo(integer).min, 0, bits)  # −0
    return jnp.where(x == x, jnp.sign(bits).astype(x.dtype), 0.0)


def representable(x: float | jax.Array, dtype: jnp.dtype) -> float | jax.Array:
    """x, or the nearest positive, finite number that is normal in a dtype.

    A factor between two such limits never becomes 0 or infinite. Multiplying
    could not bring it back from there.

    Arguments:
      x: a limit, ≥ 0.
      dtype: the dtype of the limited slot, as in
        `jnp.minimum(s.gains, representable(limit, s.gains.dtype))`.

    Example:
      >>> import math, jax.numpy as jnp
      >>> from gdmethods.rules import representable
      >>> print(f"{representable(math.inf, jnp.dtype('float32')):.5g}")
      3.4028e+38
    """
    computed = jnp.finfo(promoted(dtype, jnp.float32))
    least = max(float(jnp.finfo(dtype).smallest_subnormal), float(computed.tiny))
    most = float(jnp.finfo(dtype).max)
    return min(max(x, least), most) if isinstance(x, float) else jnp.clip(x, least, most)


def one_minus_power(base: float | jax.Array, exponent: jax.Array) -> jax.Array:
    """1 − baseᵉ, for a base in [0, 1) and e ≥ 1.

    Computed as −expm1(e log base), since a subtraction loses digits while baseᵉ
    is near 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import one_minus_power
      >>> print(f"{one_minus_power(0.999, jnp.array(2)):.6f}")  # 1 − 0.999²
      0.001999
    """
    dtype = jnp.result_type(float)
    if isinstance(base, float):
        return -jnp.expm1(exponent.astype(dtype) * (math.log(base) if base else -math.inf))
    return _one_minus_power(base.astype(dtype), exponent)


@jax.custom_jvp
def _one_minus_power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    """With the derivative −e baseᵉ⁻¹, also at 0, where the logarithm has none."""
    return -jnp.expm1(exponent.astype(base.dtype) * jnp.log(base))


@_one_minus_power.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    base, exponent = primals
    slope = -exponent.astype(base.dtype) * jax.lax.pow(base, exponent - 1)
    return _one_minus_power(base, exponent), slope * tangents[0]
