"""A run of the real Optax goes on here: half of its steps there and half here, and all there."""

import functools
import re
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import gdmethods
from gdmethods.dialects import torch

STEPS = 50
FEW = 3  # in the middle of a cycle of MultiSteps


def falling(count: Any) -> Any:
    return 0.1 / (1 + 0.1 * count)


def rising(count: Any) -> Any:
    return jnp.where(count < FEW - 1, 0.5, 0.9)


class ShrinkingState(NamedTuple):
    rate: Any
    steps: Any


class Shrinking:
    """A stateful schedule, whose rate shrinks with every update."""

    def init(self) -> ShrinkingState:
        return ShrinkingState(jnp.float32(0.1), jnp.int32(0))

    def update(self, state: ShrinkingState, **extra_args: Any) -> ShrinkingState:
        return ShrinkingState(0.97 * state.rate, state.steps + 1)

    def __call__(self, state: ShrinkingState, **extra_args: Any) -> Any:
        return state.rate


class BareShrinking:
    """Likewise, with a state of one array."""

    def init(self) -> Any:
        return jnp.float32(0.1)

    def update(self, state: Any, **extra_args: Any) -> Any:
        return 0.97 * state

    def __call__(self, state: Any, **extra_args: Any) -> Any:
        return state


# Of Optax, and of gdmethods with the same numbers.
PAIRS: dict[str, tuple[Any, Any]] = {
    "sgd": (optax.sgd(0.1), gdmethods.sgd(0.1)),
    "sgd, schedule": (optax.sgd(falling), gdmethods.sgd(falling)),
    "momentum": (optax.sgd(0.1, momentum=0.9), gdmethods.momentum(0.1, 0.9)),
    "nesterov": (optax.sgd(0.1, momentum=0.9, nesterov=True), gdmethods.nesterov(0.1, 0.9)),
    "adagrad": (
        optax.adagrad(0.1),
        gdmethods.adagrad(0.1, eps=0.0, eps_root=1e-7, initial_accumulator_value=0.1),
    ),
    "adadelta": (optax.adadelta(1.0), gdmethods.adadelta(1.0, rho=0.9)),
    "rmsprop": (optax.rmsprop(0.1), gdmethods.rmsprop(0.1, eps=0.0, eps_root=1e-8)),
    "rmsprop, momentum, schedule": (
        optax.rmsprop(falling, momentum=0.9),
        gdmethods.rmsprop(falling, eps=0.0, eps_root=1e-8, momentum=0.9),
    ),
    "rmsprop, centered": (
        optax.rmsprop(0.1, centered=True, eps=1e-2, momentum=0.9),
        gdmethods.rmsprop(0.1, centered=True, eps=0.0, eps_root=1e-2, momentum=0.9),
    ),
    "rmsprop, correction": (
        optax.rmsprop(0.1, bias_correction=True, decay=0.99, eps_in_sqrt=False),
        gdmethods.rmsprop(0.1, bias_correction=True, decay=0.99),
    ),
    "adam": (optax.adam(0.1), gdmethods.adam(0.1)),
    "adam, schedule": (optax.adam(falling), gdmethods.adam(falling)),
    "adamw": (optax.adamw(0.1, weight_decay=0.1), gdmethods.adamw(0.1, weight_decay=0.1)),
    "adamw, mask": (
        optax.adamw(0.1, weight_decay=0.1, mask={"kernel": True, "bias": False}),
        gdmethods.adamw(0.1, weight_decay=0.1, mask={"kernel": True, "bias": False}),
    ),
    "a chain": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)),
        optax.chain(optax.clip_by_global_norm(1.0), gdmethods.adam(0.1)),
    ),
    "cores": (
        optax.chain(
            optax.scale_by_adam(), optax.scale_by_learning_rate(falling), optax.trace(0.5)
        ),
        optax.chain(
            gdmethods.scale_by_adam(),
            gdmethods.scale_by_learning_rate(falling),
            gdmethods.velocity(0.5),
        ),
    ),
    "a partition": (
        optax.partition(
            {"a": optax.sgd(0.1, momentum=0.9), "b": optax.adam(0.1)}, {"kernel": "a", "bias": "b"}
        ),
        optax.partition(
            {"a": gdmethods.momentum(0.1), "b": gdmethods.adam(0.1)}, {"kernel": "a", "bias": "b"}
        ),
    ),
    "MultiSteps": (
        optax.MultiSteps(optax.adam(0.1), 4),
        optax.MultiSteps(gdmethods.adam(0.1), 4),
    ),
    "injected": (
        optax.inject_hyperparams(optax.adam)(falling),
        optax.inject_hyperparams(gdmethods.adam)(falling),
    ),
    "injected, then not": (
        optax.inject_hyperparams(optax.sgd)(0.2, momentum=0.9),
        optax.with_extra_args_support(gdmethods.momentum(0.2, 0.9)),
    ),
    "apply_if_finite": (
        optax.apply_if_finite(optax.adam(0.1), 3),
        gdmethods.skip_nonfinite_steps(gdmethods.adam(0.1), 3),
    ),
    "injected, nesterov, momentum schedule": (
        optax.inject_hyperparams(optax.sgd)(0.1, momentum=rising, nesterov=True),
        optax.inject_hyperparams(gdmethods.nesterov)(0.1, momentum=rising),
    ),
    "injected, stateful schedule": (
        optax.inject_hyperparams(optax.adam)(Shrinking()),
        optax.inject_hyperparams(gdmethods.adam)(Shrinking()),
    ),
    "injected, stateful schedule of one array": (
        optax.inject_hyperparams(optax.adam)(BareShrinking()),
        optax.inject_hyperparams(gdmethods.adam)(BareShrinking()),
    ),
}


@functools.partial(jax.jit, static_argnums=0)
def run(tx: Any, w: Any, state: Any, noise: Any) -> Any:
    """The weights and the state after a walk with noisy gradients through a valley."""

    def loss(w: Any) -> Any:
        scale = jnp.linspace(0.1, 3.0, 6, dtype=w["kernel"].dtype).reshape(2, 3)
        return jnp.sum(scale * jnp.cos(w["kernel"])) + jnp.sum((w["bias"] - 0.3) ** 2)

    def step(carry: Any, noise: Any) -> Any:
        w, state = carry
        gradients = jax.tree.map(jnp.add, jax.grad(loss)(w), noise)
        updates, state = tx.update(gradients, state, w)
        return (optax.apply_updates(w, updates), state), updates

    return jax.lax.scan(step, (w, state), noise)


def draw(rng: np.random.Generator, dtype: Any, *leading: int) -> Any:
    return {
        name: jnp.asarray(rng.normal(size=(*leading, 2, 3)), dtype) for name in ("kernel", "bias")
    }


def refuses(error: type[Exception], *words: str) -> Any:
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words)))


def assert_a_run_goes_on(old: Any, tx: Any, dtype: Any, tolerance: float, steps: int) -> None:
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        w, noise = draw(rng, dtype), [draw(rng, dtype, steps) for _ in range(2)]
        (half, state), _ = run(old, w, old.init(w), noise[0])
        (expected, _), _ = run(old, half, state, noise[1])
        carried = gdmethods.from_optax(tx, half, state, learning_rate=0.1)
        (actual, _), _ = run(tx, half, carried, noise[1])
        for name in w:
            assert np.all(expected[name] != half[name])
            np.testing.assert_allclose(
                actual[name], expected[name], rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize(("old", "tx"), PAIRS.values(), ids=PAIRS)
def test_a_run_goes_on(old: Any, tx: Any) -> None:
    with jax.disable_jit():
        assert_a_run_goes_on(old, tx, "float64", 1e-10, FEW)


@pytest.mark.proof
@pytest.mark.parametrize(("old", "tx"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_a_compiled_run_of_100_steps_goes_on(
    old: Any, tx: Any, dtype: Any, tolerance: float
) -> None:
    assert_a_run_goes_on(old, tx, dtype, tolerance, STEPS)


def test_skipped_steps_are_counted_on() -> None:
    """In a row and in all, so that the next two that are not finite are skipped, and no third."""
    w, bad = jnp.ones(2), jnp.full(2, jnp.nan)
    old = optax.apply_if_finite(optax.adam(0.1), 3)
    tx = gdmethods.skip_nonfinite_steps(gdmethods.adam(0.1), 3)
    _, state = old.update(bad, old.init(w), w)
    state = gdmethods.from_optax(tx, w, state)
    assert (state.notfinite_count, state.total_notfinite) == (1, 1)
    for is_skipped in (True, True, False):
        updates, state = tx.update(bad, state, w)
        assert jnp.all(jnp.isfinite(updates)) == is_skipped


def test_a_rate_and_a_momentum_set_by_hand_stay() -> None:
    """But for those that a schedule has here."""
    w = jnp.array([1.0, -2.0])
    old = optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.5)
    state = old.init(w)
    state.hyperparams["learning_rate"], state.hyperparams["momentum"] = jnp.float32([0.3, 0.9])
    _, state = old.update(w, state, w)
    expected, _ = old.update(w, state, w)
    tx = optax.inject_hyperparams(gdmethods.momentum)(0.1, 0.5)
    updates, _ = tx.update(w, gdmethods.from_optax(tx, w, state), w)
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
    tx = optax.inject_hyperparams(gdmethods.momentum)(falling, 0.5)
    updates, carried = tx.update(w, gdmethods.from_optax(tx, w, state), w)
    assert carried.hyperparams["learning_rate"] == falling(1)
    assert carried.hyperparams["momentum"] == jnp.float32(0.9)


@pytest.mark.parametrize("tx", [gdmethods.adam(0.1), optax.chain(gdmethods.adam(0.1))])
def test_a_state_read_back_as_dicts(tx: Any) -> None:
    old = optax.chain(optax.adam(0.1)) if isinstance(tx.init(W), tuple) else optax.adam(0.1)
    state = flax.serialization.to_state_dict(old.init(W))
    with refuses(TypeError, "is a plain dict", "from_state_dict(optimizer.init(params), state)"):
        gdmethods.from_optax(tx, W, state)


def test_rprop_goes_on_without_its_lag() -> None:
    """Optax makes in one update the move of the one before; ours makes it at once."""
    old, tx = optax.rprop(0.1, max_step_size=1.0), gdmethods.rprop(0.1, max_step_size=1.0)
    rng = np.random.default_rng(0)
    g = jnp.asarray(rng.choice([-1.0, 0.0, 1.0], (2 * STEPS, 20), p=[0.2, 0.1, 0.7]))
    state, there = jax.lax.scan(lambda state, g: old.update(g, state)[::-1], old.init(g[0]), g)
    half, _ = jax.lax.scan(lambda state, g: old.update(g, state)[::-1], old.init(g[0]), g[:STEPS])
    carried = gdmethods.from_optax(tx, g[0], half)
    last, here = jax.lax.scan(lambda state, g: tx.update(g, state)[::-1], carried, g[STEPS:])
    turned = there[STEPS + 1 :] == 0  # where a sign turns Optax does not make the move before
    np.testing.assert_array_equal(jnp.where(turned, 0, here[:-1]), there[STEPS + 1 :])
    np.testing.assert_array_equal(last.step_sizes, state[0].step_sizes)
    np.testing.assert_array_equal(last.sign, jnp.sign(state[0].prev_updates))


def test_a_rate_outside_of_a_velocity_is_asked_for() -> None:
    w = jnp.ones(2)
    _, state = optax.sgd(0.1, momentum=0.9).update(w, optax.sgd(0.1, momentum=0.9).init(w))
    tx = gdmethods.momentum(0.1)
    with refuses(ValueError, "the trace of the state", "Pass the learning_rate of the last"):
        gdmethods.from_optax(tx, w, state)
    with refuses(ValueError, "learning_rate must be in [0, inf)"):
        gdmethods.from_optax(tx, w, state, learning_rate=-0.1)
    carried = gdmethods.from_optax(tx, w, state, learning_rate=0.25)
    np.testing.assert_array_equal(carried.velocity, -0.25 * w)


def test_an_injected_rate_is_read() -> None:
    w = jnp.ones(2)
    old = optax.inject_hyperparams(optax.sgd)(falling, momentum=0.9)
    _, state = old.update(w, old.init(w))
    tx = optax.inject_hyperparams(gdmethods.momentum)(falling, momentum=0.9)
    carried = gdmethods.from_optax(tx, w, state)
    np.testing.assert_allclose(carried.inner_state.velocity, -0.1 * w)
    assert carried.count == 1
    assert carried.hyperparams_states["learning_rate"].count == 1
    assert carried.hyperparams["momentum"] == jnp.float32(0.9)


@jax.enable_x64(True)
def test_each_velocity_of_a_partition_has_its_own_rate() -> None:
    labels = {"kernel": "slow", "bias": "fast"}
    rates = {"slow": 0.01, "fast": 0.1}
    old = optax.partition({k: optax.sgd(rate, momentum=0.9) for k, rate in rates.items()}, labels)
    tx = optax.partition({k: gdmethods.momentum(rate) for k, rate in rates.items()}, labels)
    w = {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([3.0])}
    _, state = old.update(w, old.init(w), w)
    carried = gdmethods.from_optax(tx, w, state, learning_rate=rates)
    for name, rate in (("kernel", 0.01), ("bias", 0.1)):
        velocity = carried.inner_states[labels[name]].inner_state.velocity[name]
        np.testing.assert_allclose(velocity, -rate * w[name], rtol=1e-12)  # v = −η g after one
    expected, _ = old.update(w, state, w)
    actual, _ = tx.update(w, carried, w)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), actual, expected)

    with refuses(ValueError, "for two velocities, at", "['slow']", "['fast']", "a mapping"):
        gdmethods.from_optax(tx, w, state, learning_rate=0.1)
    with refuses(ValueError, "the trace of the state at .inner_states['slow']", "learning_rate"):
        gdmethods.from_optax(tx, w, state, learning_rate={"fast": 0.1})
    with refuses(ValueError, "learning_rate['slow'] must be in [0, inf)"):
        gdmethods.from_optax(tx, w, state, learning_rate={"slow": -1.0})
    outer, nested = (
        optax.partition({"all": each, "none": optax.set_to_zero()}, "all") for each in (old, tx)
    )
    _, state = outer.update(w, outer.init(w), w)
    carried = gdmethods.from_optax(nested, w, state, learning_rate={"all": rates})
    actual, _ = nested.update(w, carried, w)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), actual, expected)


@jax.enable_x64(True)
def test_an_injected_rate_of_two_velocities_may_be_neither_s() -> None:
    """The factory multiplies it, and the state does not tell by what."""

    def build(sgd: Any) -> Any:
        return optax.inject_hyperparams(
            lambda learning_rate: optax.partition(
                {"a": sgd(learning_rate), "b": sgd(10 * learning_rate)}, {"w": "a", "v": "b"}
            )
        )(0.01)

    old, tx = build(functools.partial(optax.sgd, momentum=0.9)), build(gdmethods.momentum)
    w = {"w": jnp.ones(2), "v": jnp.ones(2)}
    _, state = old.update(w, old.init(w), w)
    with refuses(ValueError, "for two velocities"):
        gdmethods.from_optax(tx, w, state)
    carried = gdmethods.from_optax(tx, w, state, learning_rate={"a": 0.01, "b": 0.1})
    expected, _ = old.update(w, state, w)
    actual, _ = tx.update(w, carried, w)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), actual, expected)


def test_one_rate_is_refused_for_velocities_whose_rates_are_injected_under_another_name() -> None:
    def build(sgd: Any) -> Any:
        inject = optax.inject_hyperparams(lambda lr: sgd(lr))
        return optax.partition({"a": inject(0.01), "b": inject(0.1)}, {"w": "a", "v": "b"})

    old, tx = build(functools.partial(optax.sgd, momentum=0.9)), build(gdmethods.momentum)
    w = {"w": jnp.ones(2), "v": jnp.ones(2)}
    with refuses(ValueError, "for two velocities"):
        gdmethods.from_optax(tx, w, old.init(w), learning_rate=0.1)


def test_labels_want_a_partition() -> None:
    w = jnp.ones(2)
    old = optax.sgd(0.1, momentum=0.9)
    with refuses(ValueError, "learning_rate has the labels 'a', but the state (the only one)"):
        gdmethods.from_optax(gdmethods.momentum(0.1), w, old.init(w), learning_rate={"a": 0.1})


def test_a_schedule_with_another_state_is_refused() -> None:
    w = jnp.ones(2)

    def carry(old: Any, new: Any) -> Any:
        old, new = {"learning_rate": old}, {"learning_rate": new}
        return gdmethods.from_optax(
            optax.inject_hyperparams(gdmethods.adam)(**new),
            w,
            optax.inject_hyperparams(optax.adam)(**old).init(w)._replace(count=jnp.int32(7)),
        )

    for old, new, words in (
        (falling, Shrinking(), ["is WrappedScheduleState, where tx keeps ShrinkingState"]),
        (falling, BareShrinking(), ["is WrappedScheduleState, where tx keeps"]),
        (Shrinking(), falling, ["is ShrinkingState, where tx keeps WrappedScheduleState"]),
        (Shrinking(), 0.1, ["is dict of learning_rate, where tx keeps dict of nothing"]),
        (0.1, Shrinking(), ["is dict of nothing, where tx keeps dict of learning_rate"]),
    ):
        with refuses(TypeError, "at .hyperparams_states", *words, "with the same schedules"):
            carry(old, new)
    assert carry(0.1, falling).hyperparams_states["learning_rate"].count == 7
    assert carry(falling, 0.1).hyperparams_states == {}


@jax.enable_x64(True)
def test_the_momentum_of_the_points_that_came() -> None:
    """In NumPy: y = w + μ Δ with the constant μ of Optax, and the next μ is the schedule's."""
    w, rate, mu = np.array([1.0, -2.0]), 0.1, 0.8
    old = optax.sgd(rate, momentum=mu, nesterov=True)
    y, state = jnp.asarray(w), old.init(jnp.asarray(w))
    velocity, points = np.zeros(2), w.copy()
    for _ in range(3):  # the gradient of y²/2
        updates, state = old.update(y, state, y)
        y += updates
        velocity = mu * velocity - rate * points
        points = points + mu * velocity - rate * points
    np.testing.assert_allclose(y, points, rtol=1e-12)
    scheduled = gdmethods.nesterov(rate, lambda count: jnp.where(count < 3, 0.5, 0.9))
    for wrap, part in ((lambda tx: tx, "(the only one)"), (optax.chain, "at [0]")):
        tx = wrap(scheduled)
        came = wrap(old).init(y) if wrap is optax.chain else state
        with refuses(ValueError, f"The state {part} does not have it", "Take the state over"):
            gdmethods.from_optax(tx, y, came, learning_rate=rate, count=3)
    carried = gdmethods.from_optax(
        gdmethods.nesterov(rate, mu), y, state, learning_rate=rate, count=3
    )
    actual, _ = scheduled.update(y, carried, y)
    velocity = mu * velocity - rate * points
    np.testing.assert_allclose(actual, 0.9 * velocity - rate * points, rtol=1e-12)


def test_an_injected_momentum_of_another_name_is_asked_for() -> None:
    w = jnp.ones(2)
    old = optax.inject_hyperparams(optax.trace)(decay=rising, nesterov=True)
    tx = optax.inject_hyperparams(gdmethods.nesterov_velocity)(rising)
    state = old.init(w)
    for _ in range(FEW):
        _, state = old.update(w, state, w)
    with refuses(ValueError, "at .inner_state does not have it", 'as hyperparams["momentum"]'):
        gdmethods.from_optax(tx, w, state)
    told = state._replace(hyperparams=state.hyperparams | {"momentum": 0.9})
    expected, _ = old.update(w, state, w)
    actual, _ = tx.update(w, gdmethods.from_optax(tx, w, told), w)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda tx: tx, lambda tx: optax.chain(optax.identity(), tx)])
def test_a_count_is_asked_for_where_an_update_reads_it(wrap: Any) -> None:
    w = jnp.ones(2)
    old = wrap(optax.adagrad(0.1))
    _, state = old.update(w, old.init(w))
    assert (
        optax.tree.get(gdmethods.from_optax(wrap(gdmethods.adagrad(0.1)), w, state), "count") == 0
    )
    tx = wrap(gdmethods.adagrad(falling))
    with refuses(ValueError, "has no count", "Pass count"):
        gdmethods.from_optax(tx, w, state)
    carried = gdmethods.from_optax(tx, w, state, count=7)
    assert optax.tree.get(carried, "count") == 7


def test_a_state_becomes_narrower_only_where_tx_asks_for_it() -> None:
    w = jnp.array([1.0, 2.0], jnp.bfloat16)
    old = optax.sgd(0.1, momentum=0.9)
    _, state = old.update(w / 3, old.init(w))
    carried = gdmethods.from_optax(gdmethods.momentum(0.1), w, state, learning_rate=0.1)
    expected = -0.1 * state[0].trace.astype(jnp.float32)  # not rounded to bfloat16 again
    np.testing.assert_array_equal(carried.velocity, expected)
    narrow = gdmethods.momentum(0.1, accumulator_dtype=jnp.bfloat16)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), state)
    carried = gdmethods.from_optax(narrow, w, wide, learning_rate=0.1, count=1)
    np.testing.assert_array_equal(carried.velocity, expected.astype(jnp.bfloat16))


def test_a_master_may_be_new() -> None:
    w = {"w": jnp.ones(2, jnp.bfloat16)}
    _, state = optax.adam(0.1).update(w, optax.adam(0.1).init(w))
    tx = gdmethods.with_float32_master(gdmethods.adam(0.1))
    carried = gdmethods.from_optax(tx, w, state)
    assert jax.tree.structure(carried) == jax.tree.structure(tx.init(w))
    assert carried.inner_state.count == 1
    tx.update(w, carried, w)


@jax.enable_x64(True)
def test_complex_weights() -> None:
    """Optax keeps Adam's squared magnitudes as complex numbers; ADADELTA's it does not take."""
    w = jnp.array([1.0 + 2.0j, 0.5j])
    old, tx = optax.adam(0.1), gdmethods.adam(0.1)
    _, state = old.update(w, old.init(w))
    expected, _ = old.update(w, state)
    actual, _ = tx.update(w, gdmethods.from_optax(tx, w, state), w)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    _, state = optax.adadelta().update(w, optax.adadelta().init(w), w)
    with refuses(ValueError, "squares of complex numbers, where tx keeps squared magnitudes"):
        gdmethods.from_optax(gdmethods.adadelta(), w, state)


def test_an_nnx_optimizer() -> None:
    """Whose state wraps each array."""
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    old = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    old.update(model, nnx.grad(lambda model: jnp.sum(model(jnp.ones((1, 2)))))(model))
    new = nnx.Optimizer(model, gdmethods.adam(0.1), wrt=nnx.Param)
    state = gdmethods.from_optax(new.tx, nnx.state(model, nnx.Param), old.opt_state)
    nnx.update(new.opt_state, nnx.state(state))
    assert new.opt_state.count[...] == 1
    np.testing.assert_allclose(new.opt_state.mu["kernel"][...], 0.1, rtol=1e-6)


W = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
REFUSED: dict[str, tuple[Any, Any, type[Exception], list[str]]] = {
    "another method": (
        gdmethods.adam(0.1),
        optax.rmsprop(0.1),
        TypeError,
        ["(the only one) holds ScaleByRmsState", "AdamState(mu, nu)"],
    ),
    "the same fields": (
        gdmethods.adam(0.1),
        optax.adabelief(0.1),
        TypeError,
        ["holds ScaleByBeliefState"],
    ),
    "of a dialect": (
        torch.rmsprop(momentum=0.9),
        optax.rmsprop(0.1, momentum=0.9),
        TypeError,
        ["ScaleByRmsState, TraceState", "RMSPropState(nu, velocity)"],
    ),
    "an option too many": (
        gdmethods.rmsprop(0.1),
        optax.rmsprop(0.1, momentum=0.9),
        TypeError,
        ["holds ScaleByRmsState, TraceState", "RMSPropState(nu)"],
    ),
    "an option in vain": (
        gdmethods.rmsprop(0.1, centered=True),
        optax.rmsprop(0.1),
        TypeError,
        ["RMSPropState(nu, mu)"],
    ),
    "centered, with bias correction": (
        gdmethods.rmsprop(0.1, centered=True, bias_correction=True),
        optax.rmsprop(0.1, centered=True, bias_correction=True),
        TypeError,
        ["depends on decay", "nu - |mu|² / (1 - decay ** count)"],
    ),
    "another chain": (
        optax.chain(optax.clip(1.0), gdmethods.adam(0.1)),
        optax.adam(0.1),
        TypeError,
        ["at [0] is ScaleByAdamState, where tx keeps EmptyState"],
    ),
    "another wrapper": (
        optax.MultiSteps(gdmethods.adam(0.1), 2),
        optax.adam(0.1),
        TypeError,
        ["is tuple, where tx keeps MultiStepsState", "same chain, partition"],
    ),
    "a link that is lost": (
        optax.chain(gdmethods.scale_by_adam(), optax.identity()),
        optax.chain(optax.scale_by_adam(), optax.trace(0.9)),
        TypeError,
        ["at [1] is TraceState, where tx keeps EmptyState"],
    ),
    "None": (gdmethods.adam(0.1), None, TypeError, ["holds no numbers"]),
}


@pytest.mark.parametrize(("tx", "old", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit(tx: Any, old: Any, error: Any, words: Any) -> None:
    with refuses(error, "The ", *words):
        gdmethods.from_optax(tx, W, old and old.init(W))


def test_other_parameters() -> None:
    turned = W | {"kernel": W["kernel"].T}
    for params, words in (
        (turned, ["mu of the given state has the shape (2, 3) at ['kernel']", "(3, 2)"]),
        (W | {"scale": jnp.ones(1)}, ["has nothing at ['scale'], but tx keeps the shape (1,)"]),
        ({"bias": W["bias"]}, ["has the shape (2, 3) at ['kernel'], but tx keeps nothing"]),
    ):
        with refuses(ValueError, *words):
            gdmethods.from_optax(gdmethods.adam(0.1), params, optax.adam(0.1).init(W))
    with refuses(TypeError, "tx must be a transformation"):
        gdmethods.from_optax(gdmethods.adam, W, optax.adam(0.1).init(W))


def test_the_state_may_be_given_away():
    """Each count has an array of its own, though none was told."""
    w, labels = {"a": jnp.ones(3), "b": jnp.ones(2)}, {"a": "a", "b": "b"}
    old = optax.partition({label: optax.sgd(0.1, 0.9) for label in labels}, labels)
    _, state = old.update(w, old.init(w), w)
    tx = optax.partition({label: gdmethods.momentum(0.1, 0.9) for label in labels}, labels)
    state = gdmethods.from_optax(tx, w, state, learning_rate=dict.fromkeys(labels, 0.1))
    jax.jit(tx.update, donate_argnums=1)(w, state, w)


def test_a_chain_around_a_method_is_not_dropped():
    w = {"w": jnp.ones(3)}
    state = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)).init(w)
    with pytest.raises(TypeError, match="chain around the method, such as clipping"):
        gdmethods.from_optax(gdmethods.adam(0.1), w, state)
