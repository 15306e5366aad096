"""The momentum schedule of Sutskever et al. 2013."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.schedules import sutskever_momentum as oracle

import gdmethods


@pytest.mark.parametrize(
    ("count", "momentum"),
    [
        (0, 0.5),
        (249, 0.5),
        (250, 0.75),
        (499, 0.75),
        (500, 5 / 6),
        (750, 0.875),
        (1000, 0.9),
        (12_249, 1 - 1 / 98),
        (12_250, 0.99),
        (1_000_000, 0.99),
    ],
)
def test_the_numbers_of_the_paper(count, momentum):
    schedule = gdmethods.sutskever_momentum_schedule()
    np.testing.assert_allclose(schedule(count), momentum, rtol=1e-7)
    np.testing.assert_allclose(schedule(jnp.int32(count)), momentum, rtol=1e-7)


@pytest.mark.parametrize(("max_momentum", "period"), [(0.99, 250), (0.999, 250), (0.9, 7)])
def test_equals_its_oracle_at_every_count(max_momentum, period):
    schedule = gdmethods.sutskever_momentum_schedule(max_momentum, period)
    counts = jnp.arange(13_000)
    expected = [oracle(t, max_momentum, period) for t in range(13_000)]
    np.testing.assert_allclose(jax.jit(jax.vmap(schedule))(counts), expected, rtol=1e-6)


def test_without_a_cap_it_approaches_one_from_below():
    """1 − 2^(−1 − log₂(k + 1)) = 1 − 1/(2(k + 1))."""
    schedule = gdmethods.sutskever_momentum_schedule(max_momentum=0.9999)
    k = np.arange(1000)
    actual = jax.vmap(schedule)(jnp.asarray(250 * k))
    np.testing.assert_allclose(1 - actual, 1 / (2 * (k + 1)), atol=1.2e-7)


@pytest.mark.parametrize("method", [gdmethods.momentum, gdmethods.nesterov])
def test_drives_the_momentum_of_a_method(method):
    """After a single gradient the weights coast: Δ_t = μ_t Δ_{t−1}, in w where y looks ahead."""
    period = 3
    tx = method(1.0, gdmethods.sutskever_momentum_schedule(period=period))
    params = jnp.float32(0.0)
    state = tx.init(params)
    weights = [0.0]
    for t in range(10):
        updates, state = tx.update(jnp.float32(-1.0 if t == 0 else 0.0), state, params)
        params = params + updates
        weights.append(
            float(gdmethods.nesterov_eval_params(state, params))
            if method is gdmethods.nesterov
            else float(params)
        )
    moved = np.diff(weights)
    expected = np.cumprod([1.0] + [oracle(t, period=period) for t in range(1, 10)])
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
