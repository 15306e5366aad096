"""The networks of the study: their weights, their data, that they learn, and how dropout does."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from examples.mnist import problems
from examples.mnist.data import Dataset
from examples.mnist.model import MLP
from examples.mnist.problems import NETWORKS, problem, split
from gdmethods.study import study
from gdmethods.study.dry_step import check

WEIGHTS = {
    "zeiler": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10,
    "zeiler_relu": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10,
    "logreg": 784 * 10 + 10,
    "mlp": 784 * 1000 + 1000 + 1000 * 500 + 500 + 500 * 100 + 100 + 100 * 10 + 10,
    "dropout": 784 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 * 10 + 10,
    "cnn": 9 * 8 + 8 + 9 * 8 * 16 + 16 + 7 * 7 * 16 * 10 + 10,
}


def test_split_is_a_partition_and_always_the_same(small_data: Dataset) -> None:
    train, validation = split(small_data.train, 50)
    again, _ = split(small_data.train, 50)
    assert (train.images == again.images).all()
    assert (len(train.labels), len(validation.labels)) == (1000, 50)
    together = np.concatenate([train.images, validation.images])
    whole = np.asarray(small_data.train.images)
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole))
    assert (np.asarray(train.images) != whole[:1000]).any()  # not the first, but drawn


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_fit_and_weights_are_counted(name: str, small_data: Dataset) -> None:
    network = problem(name, small_data)
    check(network)
    assert (network.judge, network.target) == ("error", 0.03)
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert sum(w.size for w in jax.tree.leaves(params)) == WEIGHTS[name]
    assert network.text.startswith("slice, ")


def test_the_command_finds_them_by_name(
    slice_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST", str(slice_directory))
    assert problems.cnn.examples == 1050 - 1050 // 6
    with pytest.raises(AttributeError, match="lenet is none of zeiler, zeiler_relu, logreg"):
        problems.lenet  # noqa: B018


def test_loss_and_error_by_hand(small_data: Dataset) -> None:
    """Logistic regression in NumPy: the mean of −log p(label), and the share of wrong labels."""
    logreg = problem("logreg", small_data)
    params = logreg.init(jax.random.key(7))
    layer = jax.tree.map(np.asarray, nnx.to_pure_dict(params)["output"])
    images, labels = (np.asarray(array) for array in small_data.test)
    z = np.exp(np.asarray(images, np.float64) @ layer["kernel"] + layer["bias"])
    p = z / z.sum(axis=1, keepdims=True)
    cost = -np.log(p[np.arange(len(labels)), labels]).mean()
    assert float(logreg.loss(params, small_data.test, None)) == pytest.approx(cost, rel=1e-5)
    wrong = (p.argmax(axis=1) != labels).mean()
    assert float(logreg.metrics["error"](params, small_data.test)) == pytest.approx(wrong)


@pytest.mark.proof
@pytest.mark.parametrize("name", NETWORKS)
def test_network_learns(name: str, small_data: Dataset) -> None:
    done = study(
        problem(name, small_data),
        methods="adam",
        rates=(3e-3, 3e-3),
        trials=1,
        seeds=1,
        quiet=True,
    )
    (run,) = done.results.outcomes[0].repeats
    assert 2.0 < run.points[0].loss < 3.5  # log 10 ≈ 2.3
    assert run.points[-1].loss < 0.7
    assert run.points[-1].test["error"] < 0.3
    assert math.isclose(run.state_bytes_per_weight, 8, abs_tol=0.01)


@pytest.mark.proof
def test_dropout_trains_with_half_of_the_units_and_measures_with_all(small_data: Dataset) -> None:
    dropout = problem("dropout", small_data)
    params = dropout.init(jax.random.key(0))
    batch = jax.tree.map(lambda array: array[:20], small_data.test)
    costs = [
        dropout.loss(params, batch, key)
        for key in (None, None, *jax.random.split(jax.random.key(1)))
    ]
    assert costs[0] == costs[1]
    assert len({*map(float, costs)}) == 3
    model = MLP(784, 10, (1000,), dropout=0.5, rngs=nnx.Rngs(0))
    hidden = jnp.ones((20, 1000))
    kept = model.dropout(hidden, deterministic=False, rngs=nnx.Rngs(1))
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert 0.45 < (np.asarray(kept) > 0).mean() < 0.55


@pytest.mark.parametrize("name", ["cnn", "logreg"])
def test_data_of_another_size_and_number_of_classes(name: str, small_data: Dataset) -> None:
    def smaller(examples):
        images = examples.images.reshape(-1, 28, 28)[:, ::4, ::3].reshape(-1, 70)
        return examples._replace(images=images, labels=examples.labels + 2)

    small = small_data._replace(
        train=smaller(small_data.train), test=smaller(small_data.test), shape=(7, 10)
    )
    network = problem(name, small)
    check(network)
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.leaves(params)[-1].shape[-1] == 12
