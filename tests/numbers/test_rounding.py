"""Stochastic rounding: the witness computes in float64, with the dtype of ml_dtypes."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import oracles.rounding
import pytest
from chance import independent

from gdmethods._numbers.rounding import noise, rounded

RNG = np.random.default_rng(0)
BFLOAT16 = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16)
with np.errstate(invalid="ignore"):  # NumPy 2.4 warns of NaN that it converts
    FINITE = BFLOAT16.astype(np.float32)
FINITE = FINITE[np.isfinite(FINITE)]
LARGEST = np.float32(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
INF = np.float32(np.inf)


def random_bits(n):
    return RNG.integers(0, 2**32, n, dtype=np.uint32)


def nearer_and_farther(x):
    """The numbers of bfloat16 around float32 numbers: towards 0, and away from it."""
    bits = np.abs(x).view(np.uint32)
    nearer, farther = ((bits >> 16) + np.uint32(up) << 16 for up in (0, 1))
    return (np.copysign(y.view(np.float32), x) for y in (nearer, farther))


def test_a_number_is_rounded_away_from_zero_with_the_probability_of_what_is_cut_off():
    """Which of 2¹⁶ noises do so is told in float64, for normal and denormal numbers."""
    x = random_bits(20_000).view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.float32([1e-40, -3e-41, 1e-45])])
    noises = random_bits(len(x))
    nearer, farther = nearer_and_farther(x)
    overflows = np.isinf(farther)  # as if it were 2¹²⁸
    width = np.where(overflows, 2.0**120, farther.astype(np.float64) - nearer)
    share = (x.astype(np.float64) - nearer) / np.where(overflows, np.sign(x) * 2.0**120, width)
    away = (noises >> 16) / 2.0**16 >= 1 - share
    np.testing.assert_array_equal(rounded(x, noises), np.where(away, farther, nearer))


@pytest.mark.parametrize("bits", [0, 2**32 - 1, 0x1234ABCD])
def test_what_bfloat16_has_never_moves(bits):
    """With its sign: ±0, denormal numbers, the largest number, infinities."""
    x = np.concatenate([FINITE, [INF, -INF]])
    y = np.asarray(rounded(x, np.full(len(x), bits, np.uint32)))
    np.testing.assert_array_equal(y.view(np.uint32), x.view(np.uint32))


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FFFFFFF, 0x7F800001, 0xFFFFFFFF, 0xFF80FFFF])
def test_every_nan_stays_one(bits):
    """Also where its bits would overflow into −0, or be cut off to infinity."""
    nan = np.full(3, bits, np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        y = rounded(nan, np.uint32([0, 0x80000000, 2**32 - 1]))
    assert np.all(np.isnan(y))
    assert np.all(np.isnan(y.astype(jnp.bfloat16)))


def test_only_a_number_beyond_the_largest_becomes_infinite():
    beyond = np.float32(LARGEST * (1 + 2.0**-9))  # a quarter of the way to 2¹²⁸
    y = np.asarray(rounded(np.full(2, beyond), np.uint32([0, 2**32 - 1])))
    np.testing.assert_array_equal(y, [LARGEST, INF])


def test_derivatives_pass_straight_through():
    slope = jax.grad(lambda x: 3.0 * rounded(x, jnp.uint32(0x80000000)))(1.2345)
    assert slope == 3


# Noise. Over the counts, bits of one weight are uniform; those of two weights are independent.

COUNTS = jnp.arange(1, 20_001)
GRADIENTS = np.float32([0.0, 1.0, 1.0, -3e-5, 1.5, 1e30, 0.0, 1e-7])
WEIGHTS = np.float32([1.0, 1.0, 1.0078125, 0.02, 1.0, -7.0, 2.0, 0.0])
STORED = jnp.bfloat16([1.0, 1.0, 1.0, 0.5, 1.0, 0.0, 1.0, 0.5])


def noises(counts=COUNTS, slot=0, gradients=GRADIENTS, weights=WEIGHTS, stored=STORED):
    """As numbers in [0, 1), a row for each count."""
    bits = jax.vmap(lambda t: noise(t, slot, jnp.asarray(gradients), weights, stored))(counts)
    return np.asarray(bits) / 2.0**32


@pytest.mark.parametrize(
    "absent", [{}, {"weights": None}, {"stored": None}, {"weights": None, "stored": None}], ids=str
)
def test_noise_is_uniform_over_the_counts(absent):
    """Its mean is 1/2 and its variance 1/12, within 5 standard errors, and step after step new."""
    u = noises(**absent) - 0.5
    n = len(u)
    assert np.all(np.abs(u.mean(axis=0)) < 5 / np.sqrt(12 * n))
    assert np.all(np.abs((u**2).mean(axis=0) - 1 / 12) < 5 / np.sqrt(180 * n))
    assert np.all(np.abs((u[1:] * u[:-1]).mean(axis=0)) < 5 / 12 / np.sqrt(n))


def test_noise_of_two_weights_is_independent():
    """Also of those that differ in the last place of one number of bfloat16 alone."""
    u = noises() - 0.5
    products = u.T @ u / len(u)
    off = products[~np.eye(len(products), dtype=bool)]
    assert np.all(np.abs(off) < 5 / 12 / np.sqrt(len(u)))


def test_noise_of_two_slots_is_independent():
    """Whose numbers may be the same, as at the start."""
    u, v, w = (noises(slot=slot) - 0.5 for slot in (0, 1, -1))
    for a, b in ((u, v), (u, w), (v, w)):
        assert np.all(np.abs((a * b).mean(axis=0)) < 5 / 12 / np.sqrt(len(a)))


def test_noise_is_that_of_the_numbers_nearest_in_bfloat16():
    """Its upper half, in Python's integers, for numbers between two of bfloat16 and halfway."""
    g, w, stored = RNG.normal(size=(3, 300)).astype(np.float32)
    w[:9] = np.float32(1 + 2.0**-8)
    for slot in (0, 3):
        bits = noise(jnp.int32(7), slot, jnp.asarray(g), jnp.asarray(w), jnp.asarray(stored))
        expected = [
            oracles.rounding.noise(7, slot, *each) for each in zip(g, w, stored, strict=True)
        ]
        np.testing.assert_array_equal(np.asarray(bits) >> 16, expected)


def test_noise_of_the_mirrored_run_is_the_same():
    mirrored = noises(COUNTS[:9], 0, -GRADIENTS, -WEIGHTS, -STORED)
    np.testing.assert_array_equal(mirrored, noises(COUNTS[:9]))


def test_weights_that_equal_their_gradients_have_noise_of_their_own():
    """As on the loss |w|²/2, from one last place of bfloat16 to the next."""
    w = FINITE[FINITE > 0]
    u = noises(COUNTS[:1], gradients=w, weights=w, stored=None)
    assert len(np.unique(u)) == len(w)


def test_a_last_digit_of_float32_seldom_changes_the_noise():
    """It takes one number in 2¹⁶ across the middle between two of bfloat16; two numbers, twice."""
    w, g = RNG.normal(size=(2, 10**6)).astype(np.float32)
    here = noises(COUNTS[:1], gradients=g, weights=w, stored=None)
    up = [np.nextafter(x, np.float32(9)) for x in (g, w)]
    there = noises(COUNTS[:1], gradients=up[0], weights=up[1], stored=None)
    expected = 2 * 10**6 / 2**16
    assert abs(np.sum(here != there) - expected) < 5 * np.sqrt(expected)


def test_noise_of_complex_numbers():
    """Either part tells two of them apart."""
    z = np.complex64([1 + 1j, 1 + 2j, 2 + 1j, 0])
    u = noises(COUNTS[:3], gradients=z, weights=z, stored=None)
    assert all(len(set(row)) == 4 for row in u)


def test_noise_of_float64_gradients_is_that_of_their_float32_view():
    with jax.enable_x64(True):
        wide = noises(COUNTS[:9], gradients=GRADIENTS.astype(np.float64))
    np.testing.assert_array_equal(wide, noises(COUNTS[:9]))


@pytest.mark.parametrize("distinct", [True, False])
def test_many_weights_without_gradients_do_not_decay_together(distinct):
    """A hundred steps of 0.999: the sum over weights is float32's within 6 standard errors.

    Where weights are equal in bfloat16 they round alike, so that their sum is as noisy as one
    weight is.
    """
    n = 20_000
    w = jnp.asarray(RNG.normal(size=n) * 0.02 if distinct else np.full(n, 0.02), jnp.float32)

    def step(v, t):
        return rounded(0.999 * v, noise(t, 1, jnp.zeros(n), w, v)), None

    v = jax.jit(lambda v: jax.lax.scan(step, v, jnp.arange(1, 101))[0])(jnp.ones(n))
    error = np.asarray(v, np.float64) / 0.999**100 - 1
    if distinct:
        assert abs(error.mean()) < 6 * error.std() / np.sqrt(independent(w))
    else:
        assert error.std() == 0
        assert abs(error.mean()) < 0.1
