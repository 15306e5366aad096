"""A float32 number in a bfloat16 one and an int16: the witness computes with NumPy's integers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods._numbers.remainder import (
    bfloat16_of,
    join,
    remainder_beside,
    remainder_of,
    update_to,
)

OVERFLOW = 0x7F7F8000  # half of a last place above the largest bfloat16
TINY = 2.0**-126
LARGEST = np.uint32(OVERFLOW).view(np.float32).astype(np.float64)


@jax.jit
def there_and_back(bits):
    m = jax.lax.bitcast_convert_type(bits, jnp.float32)
    r = remainder_of(m)
    w = bfloat16_of(m, r)
    back = jax.lax.bitcast_convert_type(join(w, r), jnp.uint32)
    return jax.lax.bitcast_convert_type(w, jnp.uint16), r, remainder_beside(m, w), back


def assert_exact(bits):
    """Where M is infinite in bfloat16 it is infinite; NaN is some NaN; all else is kept."""
    w, r, beside, back = map(np.asarray, there_and_back(bits))
    magnitude = bits & 0x7FFFFFFF
    finite, nan = magnitude < OVERFLOW, magnitude > 0x7F800000
    upper = (bits.astype(np.uint64) + 0x8000 >> 16).astype(np.uint16)
    np.testing.assert_array_equal(w[finite], upper[finite])
    np.testing.assert_array_equal(back[finite], bits[finite])
    np.testing.assert_array_equal(beside[finite], r[finite])
    infinite = ~finite & ~nan
    np.testing.assert_array_equal(w[infinite], (bits >> 16 & 0x8000 | 0x7F80)[infinite])
    np.testing.assert_array_equal(back[infinite], (bits & 0x80000000 | 0x7F800000)[infinite])
    assert np.all(w[nan] & 0x7FFF > 0x7F80)
    assert np.all(back[nan] & 0x7FFFFFFF > 0x7F800000)


def test_numbers_there_and_back():
    """Of each sign, each exponent with the ends of its significands, and others at random."""
    ends = np.arange(-0x8001, 0x8002, 0x2AAB)
    edges = (np.arange(0, 2**32, 2**22)[:, None] + ends) % 2**32
    others = np.random.default_rng(0).integers(0, 2**32, 2**16)
    assert_exact(np.concatenate([edges.ravel(), others]).astype(np.uint32))


@pytest.mark.proof
def test_all_numbers_there_and_back():
    for start in range(0, 2**32, 2**20):
        assert_exact(np.arange(start, start + 2**20, dtype=np.uint32))


def test_weights_that_were_written_beside_a_remainder():
    """Zeros and infinities are what they are, NaN is NaN, and another takes the remainder on."""
    w = jnp.array([0.0, -0.0, 0.0, -0.0, np.inf, -np.inf, np.inf, 1.0], jnp.bfloat16)
    m = np.asarray(join(w, jnp.array([-1, -32768, 7, 7, -1, 1, 1, -2], jnp.int16)))
    bits = [0, 1 << 31, 7, (1 << 31) + 7, 0x7F800000, 0xFF800000, 0x7F800000, 0x3F7FFFFE]
    np.testing.assert_array_equal(m.view(np.uint32), bits)
    for r in (-32768, -1, 0, 1, 32767):
        nans = np.array([0x7F81, 0x7FFF, 0xFF81, 0xFFFF], np.uint16).view(jnp.bfloat16)
        assert np.all(np.isnan(join(nans, jnp.full(4, r, jnp.int16))))


@jax.jit
def added(w, m):
    """The weight after an update to M, and the master that the state then has."""
    r = remainder_of(m)
    new = optax.apply_updates(w, update_to(m, r, w))
    return new, join(new, r)


def drawn(rng, exponents, count):
    """For each exponent float32 numbers of both signs; among them ties, and such as round up."""
    significands = rng.integers(0, 2**23, (len(exponents), count))
    significands[:, :6] = [0, 1, 0x7FFF, 0x8000, 0x18000, 2**23 - 1]
    signs = rng.integers(0, 2, significands.shape)
    bits = signs << 31 | np.asarray(exponents)[:, None] << 23 | significands
    return bits.astype(np.uint32).view(np.float32)


def assert_sums_land(froms, tos, count):
    """Exact where the exponent falls by no more than 16; else M is off, by less than 2⁻²³ of w.

    Where w′ − w is beyond float32 the weight is infinite; where it is denormal, XLA may take it
    for 0. Nothing is NaN.
    """
    rng = np.random.default_rng(0)
    old, m = drawn(rng, froms, count)[:, None], drawn(rng, tos, count)[None]
    old, m = (np.broadcast_to(x, (len(froms), len(tos), count)) for x in (old, m))
    finite = np.abs(old) < LARGEST
    old, m = old[finite], m[finite]
    w = bfloat16_of(old, remainder_of(old))
    landed, back = (np.asarray(x, np.float64) for x in added(w, m))
    new = bfloat16_of(m, remainder_of(m))
    w, new, m = (np.asarray(x, np.float64) for x in (w, new, m))
    with np.errstate(over="ignore"):
        beyond = np.isinf((new - w).astype(np.float32))
    np.testing.assert_array_equal(np.abs(landed[beyond]), np.inf)
    np.testing.assert_array_equal(np.abs(back[beyond]), np.inf)
    w, m, back = w[~beyond], m[~beyond], back[~beyond]
    off = np.abs(back - m)
    off[off < TINY] = 0
    falls = np.floor(np.log2(np.abs(w))) - np.floor(np.log2(np.abs(m)))
    np.testing.assert_array_equal(off[falls <= 16], 0)
    assert np.max(off / np.abs(w)) < 2.0**-23


def test_a_sum_that_is_computed_twice_may_differ():
    """By what a compiler rounds otherwise: the remainder's decides, and the weight follows."""
    m = drawn(np.random.default_rng(0), range(10, 250), 100)
    r = remainder_of(m)
    w = bfloat16_of(m * np.float32(0.75), remainder_of(m * np.float32(0.75)))
    for units in (-1000, -1, 1, 1000):
        again = (m.view(np.int32) + units).view(np.float32)
        new = optax.apply_updates(w, update_to(again, r, w))
        np.testing.assert_array_equal(join(new, r), m)


def test_infinite_and_nan_masters():
    """What is infinite stays infinite; NaN is NaN, whatever its bits and its weight."""
    inf, nans = np.inf, np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    w = jnp.array([1.0, inf, 1.0, inf, inf, -inf, 0.0, inf, 3e38], jnp.bfloat16)
    m = np.array([inf, inf, LARGEST, LARGEST, 3.4e38, -inf, *nans], np.float32)
    for result in added(w, m):
        np.testing.assert_array_equal(
            np.asarray(result, np.float32), [inf] * 5 + [-inf] + [np.nan] * 3
        )


def test_where_sums_land():
    exponents = [1, 2, 17, 18, 19, 100, 116, 117, 118, 127, 144, 253, 254]
    assert_sums_land(exponents, exponents, 32)


@pytest.mark.proof
def test_where_sums_land_for_all_pairs_of_exponents():
    for first in range(1, 255):
        assert_sums_land([first], range(1, 255), 400)
