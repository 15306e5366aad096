"""Training on a slice: each method of the roster, and what the loop promises of itself."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gdmethods
from examples.mnist.data import Dataset
from examples.mnist.model import MLP
from examples.mnist.roster import ROSTER, Method
from examples.mnist.training import Measurement, train

SGD = ROSTER["sgd"]


def run(method: Method, data: Dataset, **changes: Any) -> list[Measurement]:
    arguments = {"passes": 2, "batch_size": 100, "seed": 0, "eval_params": method.eval_params}
    return list(train(method.optimizer(), data, **(arguments | changes)))


def with_settings(**settings: Any) -> Method:
    return dataclasses.replace(SGD, settings=settings)


def curve(measurements: list[Measurement]) -> list[tuple[float, float]]:
    return [(m.train_cost, m.test_error_percent) for m in measurements]


def test_network_is_zeilers() -> None:
    params = nnx.to_pure_dict(nnx.state(MLP(784, 10, rngs=nnx.Rngs(0))))
    shapes = jax.tree.map(jnp.shape, params)
    assert shapes == {
        "hidden": {
            0: {"kernel": (784, 500), "bias": (500,)},
            1: {"kernel": (500, 300), "bias": (300,)},
        },
        "output": {"kernel": (300, 10), "bias": (10,)},
    }
    limit = math.sqrt(6 / (784 + 500))  # Glorot's
    assert 0.99 * limit < jnp.abs(params["hidden"][0]["kernel"]).max() <= limit
    assert not params["hidden"][0]["bias"].any()


def test_network_takes_a_batch_and_saturates_at_tanh() -> None:
    model = MLP(12, 3, rngs=nnx.Rngs(0))
    assert model(jnp.ones((5, 12))).shape == (5, 3)
    np.testing.assert_allclose(model(jnp.full((1, 12), 1e9)), model(jnp.full((1, 12), 2e9)))


def test_roster_follows_the_lecture() -> None:
    assert list(ROSTER) == [
        "sgd",
        "momentum",
        "nesterov",
        "adaptive_gains",
        "adagrad",
        "adadelta",
        "rprop",
        "rprop_full_batch",
        "rmsprop",
        "adam",
    ]
    assert len({method.label for method in ROSTER.values()}) == len(ROSTER)
    gains = "adaptive_gains(learning_rate=0.05, momentum=0.9, agreement='velocity')"
    assert ROSTER["adaptive_gains"].expression == gains


STATE_BYTES = {
    "sgd": 0,
    "momentum": 4,
    "nesterov": 4,
    "adaptive_gains": 9,
    "adagrad": 4,
    "adadelta": 8,
    "rprop": 5,
    "rprop_full_batch": 5,
    "rmsprop": 4,
    "adam": 8,
}


QUICK = ["momentum", "nesterov", "rprop_full_batch"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.proof) for name in ROSTER],
)
def test_method_learns_and_its_state_is_weighed(name: str, small_data: Dataset) -> None:
    method = ROSTER[name]
    full_batch = {"passes": 20, "batch_size": len(small_data.train.labels)}
    before, *_, after = run(
        method, small_data, **(full_batch if method.full_batch else {"passes": 4})
    )
    assert before.passes == 0
    assert 2.0 < before.train_cost < 3.5  # a guess among ten classes costs log 10 ≈ 2.3
    assert after.train_cost < 0.5 * before.train_cost
    assert after.test_error_percent < 40
    assert after.seconds > 0
    assert after.compile_seconds > 0
    assert after.state_bytes_per_weight == pytest.approx(STATE_BYTES[name], abs=1e-4)


def test_same_seed_gives_the_same_numbers_and_methods_start_alike(small_data: Dataset) -> None:
    one, again = run(SGD, small_data), run(SGD, small_data)
    assert curve(one) == curve(again)
    assert curve(one)[0] == curve(run(ROSTER["nesterov"], small_data, passes=0))[0]


def test_another_seed_gives_other_weights_and_another_order(small_data: Dataset) -> None:
    one, other = run(SGD, small_data, seed=0), run(SGD, small_data, seed=4)
    assert one[0].train_cost != other[0].train_cost
    assert one[1].train_cost != other[1].train_cost


def test_remainder_that_fills_no_batch_is_left_out(small_data: Dataset) -> None:
    counts = []

    def spy(opt_state: Any, params: Any) -> Any:
        counts.append(int(opt_state.count))
        return params

    run(SGD, small_data, batch_size=100, eval_params=spy)  # of 1,050 images
    assert sorted(set(counts)) == [0, 10, 20]


@pytest.mark.proof
def test_full_batch_is_one_step_of_gradient_descent(small_data: Dataset) -> None:
    """As one step by hand, whatever the order of the images."""
    rate = 0.1
    size = len(small_data.train.labels)
    _, measured = run(
        with_settings(learning_rate=rate), small_data, passes=1, batch_size=size, seed=5
    )

    graphdef, params = nnx.split(MLP(784, 10, rngs=nnx.Rngs(5)))

    def cost(params: Any) -> jax.Array:
        log_p = jax.nn.log_softmax(nnx.merge(graphdef, params)(small_data.train.images))
        return -log_p[jnp.arange(size), small_data.train.labels].mean()

    stepped = jax.tree.map(lambda w, g: w - rate * g, params, jax.grad(cost)(params))
    assert measured.train_cost == pytest.approx(float(cost(stepped)), rel=1e-5)
    wrong = nnx.merge(graphdef, stepped)(small_data.test.images).argmax(axis=1)
    errors = np.mean(np.asarray(wrong) != np.asarray(small_data.test.labels))
    assert measured.test_error_percent == pytest.approx(100 * errors)


def test_measures_the_weights_that_eval_params_gives(small_data: Dataset) -> None:
    def zeros(opt_state: Any, params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    for measured in run(SGD, small_data, eval_params=zeros):
        assert measured.train_cost == pytest.approx(math.log(10))
    assert ROSTER["nesterov"].eval_params is gdmethods.nesterov_eval_params


def test_optimizer_is_told_the_cost(small_data: Dataset) -> None:
    optimizer = gdmethods.rprop(0.001, variant="irprop+")  # refuses to go without
    size = len(small_data.train.labels)
    *_, last = train(
        optimizer,
        small_data,
        passes=10,
        batch_size=size,
        seed=0,
        eval_params=lambda opt_state, params: params,
    )
    assert last.train_cost < 1.5


def test_divergence_is_measured_as_nan(small_data: Dataset) -> None:
    *_, last = run(with_settings(learning_rate=1e38), small_data)
    assert math.isnan(last.train_cost)
