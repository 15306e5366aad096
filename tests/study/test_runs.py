"""What a run trains, beside loops written by hand with Optax, Flax and Equinox."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_problems import BATCH, EXAMPLES, TRAIN, VALIDATION, changed, classifier, quadratic, x, y

from gdmethods.study import Problem
from gdmethods.study.dry_step import check
from gdmethods.study.methods import parse
from gdmethods.study.outcomes import Run, Settings
from gdmethods.study.problem import ProblemError
from gdmethods.study.trials import Prepared, Trainer

DATA: dict[str, Any] = {"train": TRAIN, "validation": VALIDATION, "batch_size": BATCH}


def trainer(
    problem: Problem, method: str = "sgd", *, points: int = 1, together: int = 1, **tuned: float
) -> Trainer:
    (parsed,) = parse(method)
    prepared = Prepared(problem, points=points, together=together)
    return Trainer(prepared, parsed, ["learning_rate", *tuned])


def settings(rate: float = 0.1, seed: int = 0, passes: int = 2, **tuned: float) -> Settings:
    return Settings(
        problem="",
        problem_crc32=0,
        method="",
        arguments={"learning_rate": rate, **tuned},
        seed=seed,
        passes=passes,
        batch_size=BATCH,
        points=1,
        together=1,
        device="",
        versions={},
    )


def train(trainer: Trainer, *runs: Settings) -> list[Run]:
    return trainer.train(runs, lambda passes: None)


def numbers(run: Run) -> list[tuple[float, ...]]:
    """All that does not depend on the clock."""
    return [(p.steps, p.passes, p.loss, *p.validation.values()) for p in run.points]


def ordered(key: Any) -> Iterator[Any]:
    """The batches of a pass, as a generator in NumPy."""
    order = np.asarray(jax.random.permutation(key, EXAMPLES))
    for rows in order.reshape(-1, BATCH):
        yield TRAIN[0][rows], TRAIN[1][rows]


@pytest.fixture(scope="module")
def adam() -> Trainer:
    return trainer(classifier, "adam", b1=0.9)


def test_a_run_is_a_loop_of_optax(adam: Trainer) -> None:
    (run,) = train(adam, settings(0.05, seed=7, b1=0.8))
    tx = optax.adam(0.05, b1=0.8)
    first, key = jax.random.split(jax.random.key(7))
    params = classifier.init(first)
    opt_state = tx.init(params)
    value_and_grad = jax.jit(jax.value_and_grad(classifier.loss))

    def measured(steps: int, passes: int) -> tuple[float, ...]:
        loss = classifier.loss(params, TRAIN, None)
        return steps, passes, float(loss), float(classifier.metrics["error"](params, VALIDATION))

    expected = [measured(0, 0)]
    for number in range(2):
        order, drawn = jax.random.split(jax.random.fold_in(key, number))
        for step, batch in enumerate(ordered(order)):
            _, gradients = value_and_grad(params, batch, jax.random.fold_in(drawn, step))
            updates, opt_state = tx.update(gradients, opt_state)
            params = optax.apply_updates(params, updates)
        expected.append(measured(5 * (number + 1), number + 1))
    np.testing.assert_allclose(numbers(run), expected, rtol=1e-5)
    assert run.points[2].loss < 0.9 * run.points[0].loss
    assert (run.weights, run.state_bytes_per_weight) == (21, pytest.approx((4 + 2 * 84) / 21))
    seconds = [point.seconds for point in run.points]
    assert seconds[0] == 0
    assert all(a < b for a, b in itertools.pairwise(seconds))


def test_seed_and_arguments_decide(adam: Trainer) -> None:
    one, again, seed, argument = (
        numbers(run)
        for run in (
            train(adam, settings(seed=seed, b1=b1))[0]
            for seed, b1 in ((1, 0.9), (1, 0.9), (2, 0.9), (1, 0.5))
        )
    )
    assert one == again
    assert one[0] != seed[0]
    assert one[0] == argument[0]
    assert one[1] != argument[1]


def test_batches_of_a_generator_are_those_of_arrays(adam: Trainer) -> None:
    (arrays,) = train(adam, settings(0.05, b1=0.9))
    for batches in (ordered, lambda key: list(ordered(key))):
        streamed = changed(train=None, batches=batches)
        (run,) = train(trainer(streamed, "adam", b1=0.9), settings(0.05, b1=0.9))
        np.testing.assert_allclose(numbers(run), numbers(arrays), rtol=1e-5)


def test_batches_of_known_length_are_measured_within_a_pass() -> None:
    coarse, fine, unknown = (
        train(trainer(changed(train=None, batches=batches), points=points), settings())[0]
        for batches, points in ((ordered, 1), (lambda key: [*ordered(key)], 5), (ordered, 5))
    )
    assert numbers(fine)[::5] == numbers(coarse) == numbers(unknown)
    assert [point.steps for point in fine.points] == [*range(11)]


def test_a_last_batch_that_is_smaller_and_an_iterator_that_ends() -> None:
    def uneven(key: Any) -> list[Any]:
        return [*ordered(key), (x[:7], y[:7])]

    (run,) = train(trainer(changed(train=None, batches=uneven)), settings())
    assert [point.steps for point in run.points] == [0, 6, 12]
    once = iter(list(ordered(jax.random.key(0))) * 2)
    with pytest.raises(ProblemError, match="a new iterable each time"):
        train(trainer(changed(train=None, batches=lambda key: once)), settings(passes=9))


def test_points_take_no_part_in_training() -> None:
    coarse, fine = (
        train(trainer(classifier, "momentum", points=points), settings())[0] for points in (1, 3)
    )
    assert numbers(fine)[::3] == numbers(coarse)
    assert [point.steps for point in fine.points] == [0, 2, 3, 5, 7, 8, 10]
    assert [point.passes for point in fine.points[:4]] == [0, 0.4, 0.6, 1]


@pytest.mark.proof
def test_runs_at_once_are_the_runs_one_by_one() -> None:
    wanted = [settings(r, seed) for r, seed in ((0.1, 0), (0.01, 1), (0.1, 1))]
    alone = trainer(classifier)
    one_by_one = [run for each in wanted for run in train(alone, each)]
    at_once = train(trainer(classifier, together=4), *wanted)  # and one to spare
    assert [run.settings for run in at_once] == wanted
    for one, other in zip(one_by_one, at_once, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-5)
    assert len({run.compile_seconds for run in one_by_one}) == 1  # compiled once
    assert len({tuple(numbers(run)) for run in one_by_one}) == 3


def test_diverged_run_ends_where_it_shows() -> None:
    passes: list[float] = []
    (run,) = trainer(quadratic).train([settings(1e3, passes=9)], passes.append)
    assert run.diverged
    assert len(run.points) == len(passes) + 1 < 9
    assert not math.isfinite(run.points[-1].loss)
    assert all(math.isfinite(point.loss) for point in run.points[:-1])


def test_descent_on_a_quadratic_is_its_closed_form() -> None:
    """SGD multiplies each coordinate by 1 − ηλ in each step, and the loss is ½ Σ λw²."""
    (run,) = train(trainer(quadratic), settings(0.005, seed=3))
    first, _ = jax.random.split(jax.random.key(3))
    w = np.asarray(jax.random.normal(first, 3), np.float64)
    curvatures = np.array([1.0, 10.0, 100.0])
    for steps, passes, loss, judge in numbers(run):
        expected = 0.5 * np.sum(curvatures * (w * (1 - 0.005 * curvatures) ** steps) ** 2)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert judge == loss
        assert steps == 8 * passes


def test_measures_a_mean_over_all_examples_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdmethods.study.trials.PIECE", 30)  # 100 are four of 25
    even = train(trainer(changed(test=TRAIN)), settings(passes=1))[0]
    monkeypatch.setattr("gdmethods.study.trials.PIECE", 33)  # four of 25 again; 97 leave one
    odd = train(
        trainer(changed(validation=jax.tree.map(lambda a: a[:97], VALIDATION))),
        settings(passes=1),
    )[0]
    monkeypatch.undo()
    whole = train(trainer(changed(test=TRAIN)), settings(passes=1))[0]
    assert even.points[1].validation == pytest.approx(whole.points[1].validation)
    assert even.points[1].test == pytest.approx(whole.points[1].test)
    wrong = 97 * odd.points[1].validation["error"]
    assert wrong == pytest.approx(round(wrong), abs=1e-4)
    assert abs(wrong - 100 * whole.points[1].validation["error"]) < 3.5


def test_state_is_carried_and_measured() -> None:
    """A counter of steps, which the loss adds to and the metric shows."""
    counted = changed(
        has_state=True,
        init=lambda key: (classifier.init(key), jnp.zeros(())),
        loss=lambda params, count, batch, key: (classifier.loss(params, batch, key), count + 1),
        metrics={"steps": lambda params, count, batch: count},
    )
    (run,) = train(trainer(counted), settings())
    assert [point.validation["steps"] for point in run.points] == [0, 5, 10]


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(20, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, momentum=0.5, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


def cost(network: Any, batch: Any) -> jax.Array:
    x, y = batch
    return optax.softmax_cross_entropy_with_integer_labels(network(x), y).mean()


@pytest.mark.proof
def test_nnx_is_a_loop_of_nnx() -> None:
    """With batch statistics and dropout's keys, as its own optimizer trains it."""
    problem = Problem.from_nnx(Network, cost, metrics={"cost": cost}, **DATA)
    (run,) = train(trainer(problem), settings(0.5, seed=4, passes=1))

    first, key = jax.random.split(jax.random.key(4))
    network = Network(nnx.Rngs(first))
    optimizer = nnx.Optimizer(network, optax.sgd(0.5), wrt=nnx.Param)

    @nnx.jit
    def step(network: Any, optimizer: Any, batch: Any) -> None:
        optimizer.update(network, nnx.grad(cost)(network, batch))

    def measured() -> tuple[float, float]:
        network.eval()
        costs = float(cost(network, TRAIN)), float(cost(network, VALIDATION))
        network.train()
        return costs

    expected = [measured()]
    order, _ = jax.random.split(jax.random.fold_in(key, 0))
    for batch in ordered(order):
        step(network, optimizer, batch)
    expected.append(measured())
    got = [(point.loss, point.validation["cost"]) for point in run.points]
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert not np.allclose(got[0], got[1], rtol=0.01)
    assert run.weights == 20 * 8 + 8 + 8 + 8 + 8 * 2 + 2


@pytest.mark.proof
def test_equinox_carries_its_state_from_step_to_step() -> None:
    """The running means of a batch norm, as Equinox' own loop leaves them."""
    equinox = pytest.importorskip("equinox")

    class Normed(equinox.Module):  # type: ignore[misc,name-defined]
        norm: Any
        linear: Any

        def __init__(self, key: Any) -> None:
            self.norm = equinox.nn.BatchNorm(20, axis_name="batch", mode="batch")
            self.linear = equinox.nn.Linear(20, 2, key=key)

        def __call__(self, x: Any, state: Any) -> tuple[Any, Any]:
            x, state = self.norm(x, state)
            return self.linear(x), state

    def loss(model: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        over_batch = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        logits, state = over_batch(batch[0], state)
        return cost(lambda x: logits, batch), state

    def validated(model: Any, state: Any, batch: Any) -> Any:
        return loss(model, state, batch, None)[0]

    build = equinox.nn.make_with_state(Normed)
    problem = Problem.from_equinox(build, loss, metrics={"cost": validated}, **DATA)
    check(problem)
    (run,) = train(trainer(problem), settings(0.5, seed=4, passes=1))
    first, key = jax.random.split(jax.random.key(4))
    model, state = build(first)
    order, _ = jax.random.split(jax.random.fold_in(key, 0))
    for batch in ordered(order):
        gradients, state = equinox.filter_grad(loss, has_aux=True)(model, state, batch, None)
        model = equinox.apply_updates(model, jax.tree.map(lambda g: -0.5 * g, gradients))
    after = validated(equinox.nn.inference_mode(model), state, VALIDATION)
    assert run.points[-1].validation["cost"] == pytest.approx(float(after), rel=1e-4)
    assert run.weights == 20 + 20 + 20 * 2 + 2


@pytest.mark.proof
def test_equinox_is_a_loop_of_equinox() -> None:
    equinox = pytest.importorskip("equinox")

    def build(key: Any) -> Any:
        one, two = jax.random.split(key)
        return equinox.nn.Sequential(
            [
                equinox.nn.Linear(20, 8, key=one),
                equinox.nn.Lambda(jax.nn.relu),
                equinox.nn.Dropout(0.5),
                equinox.nn.Linear(8, 2, key=two),
            ]
        )

    def loss(model: Any, batch: Any, key: Any) -> Any:
        return cost(lambda x: jax.vmap(model)(x, key=jax.random.split(key, len(x))), batch)

    def validated(model: Any, batch: Any) -> Any:
        return loss(model, batch, jax.random.key(0))

    problem = Problem.from_equinox(build, loss, metrics={"cost": validated}, **DATA)
    (run,) = train(trainer(problem), settings(0.5, seed=4, passes=1))
    first, key = jax.random.split(jax.random.key(4))
    model = build(first)
    order, drawn = jax.random.split(jax.random.fold_in(key, 0))
    before = validated(equinox.nn.inference_mode(model), VALIDATION)
    for number, batch in enumerate(ordered(order)):
        step_key = jax.random.fold_in(drawn, number)
        gradients = equinox.filter_grad(loss)(model, jax.tree.map(jnp.asarray, batch), step_key)
        model = equinox.apply_updates(model, jax.tree.map(lambda g: -0.5 * g, gradients))
    after = validated(equinox.nn.inference_mode(model), VALIDATION)
    got = [point.validation["cost"] for point in run.points]
    np.testing.assert_allclose(got, [before, after], rtol=1e-4)
    assert run.weights == 20 * 8 + 8 + 8 * 2 + 2
