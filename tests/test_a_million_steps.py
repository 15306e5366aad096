"""After a million steps in float32 every method is where its float64 oracle is.

The gradients repeat every PERIOD steps, so that the oracle need not walk the whole way. What is
longer ago than the last TAIL steps has faded from every running mean and velocity (0.999 to the
power of TAIL is 2·10⁻⁹), gains and step sizes have met their limits since, and of AdaGrad's sum
it is a multiple of one period's squares. So the oracle walks the last TAIL steps alone, its
schedules as many steps late, and its last period is compared.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.adadelta import adadelta
from oracles.adagrad import adagrad
from oracles.adam import adam
from oracles.adaptive_gains import adaptive_gains
from oracles.momentum import momentum
from oracles.nesterov import nesterov
from oracles.rmsprop import rmsprop
from oracles.rprop import rprop
from oracles.sgd import sgd
from table import METHODS, every_method

import gdmethods

STEPS, PERIOD, TAIL = 1_000_000, 50, 20_000


def repeating():
    """Gradients of one period: of one sign, of signs that alternate, zero, and of any sign."""
    rng = np.random.default_rng(0)
    size = 1 + rng.uniform(size=(PERIOD, 8))
    alternating = (-1.0) ** np.arange(PERIOD)
    signs = np.sign(rng.normal([0, 0, 0, 0.5, 0.5], 1, (PERIOD, 5)))
    columns = np.column_stack([np.ones(PERIOD), alternating, np.zeros(PERIOD), signs])
    return (size * columns * 10.0 ** np.array([0, 0, 0, 0, -3, 3, 0, 0])).astype(np.float32)


GRADIENTS = repeating()
LOSSES = np.random.default_rng(1).normal(size=PERIOD).astype(np.float32)


def last_period(method):
    """The updates of the last PERIOD of STEPS, and the state after them."""
    tx = method.build()
    params = jnp.zeros(GRADIENTS.shape[1:])
    gradients, losses = jnp.asarray(GRADIENTS), jnp.asarray(LOSSES)

    def step(state, t):
        extra_args = method.extra_args(losses[t % PERIOD])
        updates, state = tx.update(gradients[t % PERIOD], state, params, **extra_args)
        return state, updates

    @jax.jit
    def walk():
        state = tx.init(params)
        state, _ = jax.lax.scan(
            lambda state, t: (step(state, t)[0], None), state, jnp.arange(STEPS - PERIOD)
        )
        return jax.lax.scan(step, state, jnp.arange(PERIOD))

    state, updates = walk()
    return updates, state


def look_aheads(gradients, learning_rate, momentum):
    """The steps of Nesterov's look-ahead points, whose oracle is asked for its gradients."""
    gradients = [*gradients, gradients[0]]  # the last point is asked for, not its gradient
    points, _ = nesterov(
        lambda y, t: gradients[t - 1],
        np.zeros_like(gradients[0]),
        len(gradients),
        learning_rate,
        momentum,
    )
    return np.diff(points, axis=0)


def negated(oracle):
    """The direction of a core: what its method does at a learning rate of 1, with the sign."""
    return lambda gradients, **options: -np.stack(oracle(gradients, **options))


def adagrad_after(gradients, *, initial_accumulator_value=0.0, **options):
    before = (STEPS - TAIL) // PERIOD * np.sum(np.square(GRADIENTS, dtype=np.float64), axis=0)
    return adagrad(
        gradients, initial_accumulator_value=initial_accumulator_value + before, **options
    )


def adamw_steps(gradients, *, learning_rate, weight_decay, **options):
    """Of weights that stay at 0, where nothing decays."""
    return adam(gradients, learning_rate, **options)


ORACLES = {
    gdmethods.sgd: sgd,
    gdmethods.momentum: momentum,
    gdmethods.velocity: partial(momentum, learning_rate=-1.0),
    gdmethods.nesterov: look_aheads,
    gdmethods.nesterov_velocity: partial(look_aheads, learning_rate=-1.0),
    gdmethods.adaptive_gains: adaptive_gains,
    gdmethods.scale_by_gains: negated(partial(adaptive_gains, learning_rate=1.0)),
    gdmethods.adagrad: adagrad_after,
    gdmethods.scale_by_rss: negated(partial(adagrad_after, learning_rate=1.0)),
    gdmethods.adadelta: adadelta,
    gdmethods.scale_by_adadelta: negated(partial(adadelta, learning_rate=1.0)),
    gdmethods.rprop: partial(rprop, losses=np.tile(LOSSES, TAIL // PERIOD)),
    gdmethods.scale_by_rprop: negated(rprop),
    gdmethods.rmsprop: rmsprop,
    gdmethods.scale_by_rms: negated(partial(rmsprop, learning_rate=1.0)),
    gdmethods.adam: adam,
    gdmethods.adamw: adamw_steps,
    gdmethods.scale_by_adam: negated(partial(adam, learning_rate=1.0)),
}


def oracles_last_period(method):
    def late(option):
        return (lambda count: option(count + STEPS - TAIL)) if callable(option) else option

    options = {name: late(x) for name, x in {**method.hyperparameters, **method.flags}.items()}
    gradients = np.tile(GRADIENTS.astype(np.float64), (TAIL // PERIOD, 1))
    return np.stack(ORACLES[method.factory](list(gradients), **options))[-PERIOD:]


# In parts of a weight's largest update. An addition to AdaGrad's sum loses up to half a unit in
# the sum's last place; ADADELTA's two means feed each other and have not forgotten all by TAIL.
BOUNDS = {
    gdmethods.adagrad: 1e-3,
    gdmethods.scale_by_rss: 1e-3,
    gdmethods.adadelta: 3e-4,
    gdmethods.scale_by_adadelta: 3e-4,
}


@pytest.mark.proof
@every_method()
def test_is_where_its_oracle_is(method):
    updates, _ = last_period(method)
    expected = oracles_last_period(method)
    largest = np.abs(expected).max(axis=0)
    assert np.count_nonzero(largest) == 7  # of 8 weights, one of which never has a gradient
    error = np.abs(updates - expected).max(axis=0)
    assert np.all(error <= BOUNDS.get(method.factory, 2e-5) * largest)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("name", "field", "highest", "lowest"),
    [
        ("adaptive_gains", "gains", 10.0, 0.1),
        ("adaptive_gains, momentum, velocity", "gains", 10.0, 0.1),
        ("rprop-", "step_sizes", 50.0, 1e-6),
    ],
)
def test_gains_and_step_sizes_are_at_their_limits(name, field, highest, lowest):
    """To the last digit: of one sign at the upper limit, of signs that alternate at the lower."""
    _, state = last_period(METHODS[name])
    limits = np.array([highest, lowest], np.float32)
    np.testing.assert_array_equal(getattr(state, field)[:2], limits)


INT32_MAX = np.iinfo(np.int32).max


def keeps_count(method):
    return "count" in jax.eval_shape(method.build().init, jnp.ones(2))._fields


@every_method(keeps_count)
def test_the_count_stops_where_int32_ends(method):
    """Step after step from one before the end: the counter stands, and the method goes on."""
    tx, w = method.build(), jnp.array([1.0, -2.0])
    state = optax.tree.set(tx.init(w), count=jnp.int32(INT32_MAX - 1))
    for _ in range(3):
        with jax.disable_jit():
            updates, state = tx.update(w, state, w, **method.extra_args(jnp.float32(1)))
        assert state.count == INT32_MAX
        assert np.all(np.sign(updates) == np.sign(updates[0]) * np.array([1, -1]))
        assert np.all(np.isfinite(updates))


@pytest.mark.parametrize("factory", [gdmethods.adam, gdmethods.rmsprop])
def test_there_no_bias_is_left_to_correct(factory):
    """1 − βᵗ is 1: with empty moments the step is that of the uncorrected rule."""
    w = jnp.array([1.0, -2.0])
    corrected, plain = factory(0.1, bias_correction=True), factory(0.1, bias_correction=False)
    state = optax.tree.set(corrected.init(w), count=jnp.int32(INT32_MAX - 1))
    updates, _ = corrected.update(w, state, w)
    expected, _ = plain.update(w, plain.init(w), w)
    np.testing.assert_array_equal(updates, expected)
