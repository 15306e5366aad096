"""How long a step of 8-bit Adam becomes by chance: the law, its exact form, and the steps."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from oracles.longest_step import longest_step

import gdmethods

STEPS = 300
BFLOAT16 = np.arange(1, 0x7F80, dtype=np.uint16).view(ml_dtypes.bfloat16).astype(np.float32)


def law(c):
    """P(a step is above c times float32's): c ≥ 2, β₁ ≤ 0.9, β₂ ≤ 0.999, a constant gradient.

    A step is long while the stored v lags behind that of float32, v̄. Where v is at the level t⁴,
    v' = v + (1 − β₂)(g² − v). From t to the next level is t/μ, μ = 8 … 15, and t' − t is nearly
    t (1 − β₂)(g²/v − 1)/4. So t goes up with the probability p = (μ/4)(1 − β₂) g²/v in a step
    while v ≪ g². In this time v̄ grows by (1 − β₂) g² a step. With v̄ = R v after n of them,
    n = (R − 1) v/((1 − β₂) g²), and v has stayed with the probability (1 − p)ⁿ < e^(−μ(R − 1)/4).
    The step is then √R times float32's. The levels with μ = 8 have the longest tail,
    e^(−2(c² − 1)). There is one in 4 octaves of v, so that a walk meets few: the factor 3.
    """
    return 3 * np.exp(-2 * (c**2 - 1))


def longest_of(tx, w, gradient):
    """In units of η."""

    def step(carry, _):
        state, longest = carry
        updates, state = tx.update(jnp.full(w.shape, gradient), state, w)
        return (state, jnp.maximum(longest, -updates)), None

    start = tx.init(w), jnp.zeros(w.shape)
    return np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, length=STEPS)[0][1])(start))


@pytest.mark.parametrize("gradient", [1.0, 1.7])
def test_steps_are_as_long_as_the_exact_law_says(gradient):
    """Of as many weights as have noise of their own; the counts are binomial, within 5 deviations.

    The noise of two weights is independent, which is all that a variance needs.
    """
    tx = gdmethods.adam(1.0, eps=0.0, accumulator_dtype="8bit")
    longest = longest_of(tx, jnp.asarray(BFLOAT16), gradient)
    for c in (1.25, 1.5, 2.0, 2.25):
        expected = len(longest) * longest_step(c, gradient, STEPS)
        assert abs(np.sum(longest > c) - expected) < 5 * np.sqrt(expected), c
    assert longest.max() < 3.5  # 10⁻¹⁰ a weight


@pytest.mark.parametrize(
    ("steps", "gradients"),
    [
        (STEPS, 2.0 ** np.arange(0, 2, 0.5)),  # an octave of t is two of g
        pytest.param(2000, 2.0 ** np.arange(0, 2, 0.125), marks=pytest.mark.proof),
    ],
)
def test_the_tail_is_below_its_law(steps, gradients):
    for gradient in gradients:
        for c in (2.0, 2.5, 3.0):
            assert longest_step(c, gradient, steps) < law(c), (gradient, c)
    assert longest_step(2.5, 1.0, steps) > law(2.5) / 10  # and not far


@pytest.mark.parametrize(("b1", "b2"), [(0.0, 0.999), (0.9, 0.99), (0.5, 0.9)])
def test_the_tail_is_shorter_with_smaller_decays(b1, b2):
    for c in (2.0, 2.5):
        assert longest_step(c, 1.4, STEPS, b1, b2) < law(c)
