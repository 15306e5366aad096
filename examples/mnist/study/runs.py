"""Runs: a method trains a network from one seed at one learning rate.

Rate and seed are arguments of the compiled code, so that a method is compiled once for a problem,
and several of its runs can train at once under `jax.vmap`. Whatever is drawn at random comes from
the seed: the first weights, the order of the images, the dropout. Each method has the same of it.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from examples.mnist.data import Examples
from examples.mnist.study.methods import Method, eval_params
from examples.mnist.study.problems import Problem, Splits
from examples.mnist.training import MEASURED, cost_and_errors, descend, mean_cost


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that the numbers of a run depend on; two runs with the same settings are the same.

    Attributes:
      problem: its name.
      method: the factory and its arguments.
      learning_rate: that it is called with.
      seed: of the first weights, the order of the images and the dropout.
      passes: over the images that train.
      batch_size: images in a minibatch.
      points: measurements in a pass.
      together: runs that train at once; sums may round otherwise.
      data: the name of the data set.
      data_crc32: of its images and labels.
      validation_size: images set aside.
      device: what trains.
      versions: of the packages.
    """

    problem: str
    method: str
    learning_rate: float
    seed: int
    passes: int
    batch_size: int
    points: int
    together: int
    data: str
    data_crc32: int
    validation_size: int
    device: str
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Point:
    """How far a run has come.

    Attributes:
      steps: taken so far.
      passes: over the images that train.
      seconds: of training so far, without measuring and compiling. Of several runs at once, each
        has its share.
      train_cost: the mean cross-entropy of training images, without dropout; NaN when diverged.
      validation_error_percent: misclassified images of those set aside.
      test_error_percent: misclassified test images.
    """

    steps: int
    passes: float
    seconds: float
    train_cost: float
    validation_error_percent: float
    test_error_percent: float


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      settings: of the run.
      diverged: a weight has become NaN; the last point is the first that shows it.
      weights: of the network.
      state_bytes_per_weight: that the optimizer keeps.
      compile_seconds: the method's compilation took, on this problem.
      points: the first before the first step.
    """

    settings: Settings
    diverged: bool
    weights: int
    state_bytes_per_weight: float
    compile_seconds: float
    points: tuple[Point, ...]


class Trainer:
    """A method on a problem: refuses at once what cannot train, compiles when first used."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        splits: Splits,
        *,
        batch_size: int,
        points: int,
        together: int,
    ) -> None:
        self._problem = problem
        self._method = method
        self._splits = splits
        self._batch_size = batch_size
        self._points = points
        self._together = together
        self._steps = len(splits.train.labels) // batch_size // points  # between two points
        self._graphdef = nnx.graphdef(
            nnx.eval_shape(lambda: problem.build(splits, jax.random.key(0)))
        )
        rate = jax.ShapeDtypeStruct((), jnp.float32)
        self._params, key = jax.eval_shape(lambda: self._first_weights(0))
        opt_state = jax.eval_shape(self._first_state, rate, self._params)
        jax.eval_shape(self._advance, rate, self._params, opt_state, key, 0, splits.train)
        self._weights = sum(w.size for w in jax.tree.leaves(self._params))
        self._state_bytes = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(opt_state))

    def flops(self) -> float:
        """Of the gradients of a pass: tells how long a problem takes beside another."""
        batch = jax.tree.map(lambda array: array[: self._batch_size], self._splits.train)
        gradient = jax.jit(jax.grad(mean_cost), static_argnums=1)
        analysis: Any = gradient.lower(self._params, self._graphdef, batch).cost_analysis()
        return float(analysis["flops"]) * self._steps * self._points

    def train(self, runs: Sequence[Settings], advanced: Callable[[], None]) -> list[Run]:
        """Train at most `together` runs at once; `advanced` is called after each point."""
        spare = self._together - len(runs)  # filled, so that one shape serves all
        padded = [*runs, *[runs[-1]] * spare]
        rates = jnp.asarray([run.learning_rate for run in padded], jnp.float32)
        seeds = jnp.asarray([run.seed for run in padded], jnp.uint32)
        first_weights, first_state, advance, measure, compile_seconds = self._compiled

        params, keys = first_weights(seeds)
        opt_state = first_state(rates, params)
        seconds = [0.0]
        measured = [measure(params, opt_state)]
        for number in range(runs[0].passes * self._points):
            begin = time.perf_counter()
            params, opt_state = jax.block_until_ready(
                advance(rates, params, opt_state, keys, number, self._splits.train)
            )
            seconds.append(seconds[-1] + (time.perf_counter() - begin) / len(runs))
            measured.append(measure(params, opt_state))
            advanced()
            if measured[-1].diverged.all():
                break
        return [
            self._run(
                settings,
                compile_seconds,
                seconds,
                [jax.tree.map(lambda values, i=i: values[i].item(), point) for point in measured],
            )
            for i, settings in enumerate(runs)
        ]

    @functools.cached_property
    def _compiled(self) -> tuple[Any, Any, Any, Callable[[Any, Any], "_Measured"], float]:
        rates, seeds = (jnp.zeros(self._together, dtype) for dtype in (jnp.float32, jnp.uint32))
        begin = time.perf_counter()
        # Apart from the state, so that a cache of compiled programs has them once for all methods.
        first_weights = jax.jit(jax.vmap(self._first_weights)).lower(seeds).compile()
        params, keys = first_weights.out_info
        first_state = jax.jit(jax.vmap(self._first_state)).lower(rates, params).compile()
        opt_state = first_state.out_info
        advance = (
            jax.jit(
                jax.vmap(self._advance, in_axes=(0, 0, 0, 0, None, None)), donate_argnums=(1, 2)
            )
            .lower(rates, params, opt_state, keys, 0, self._splits.train)
            .compile()
        )
        compile_seconds = time.perf_counter() - begin
        measure = jax.jit(jax.vmap(self._measure, in_axes=(0, 0, None)))
        examples = self._splits.train, self._splits.validation, self._splits.test
        return (
            first_weights,
            first_state,
            advance,
            lambda params, opt_state: jax.device_get(measure(params, opt_state, examples)),
            compile_seconds,
        )

    def _first_weights(self, seed: Any) -> tuple[Any, jax.Array]:
        """And the key for the rest of the run."""
        first_weights, key = jax.random.split(jax.random.key(seed))
        return nnx.state(self._problem.build(self._splits, first_weights)), key

    def _first_state(self, rate: Any, params: Any) -> Any:
        return self._method.optimizer(rate).init(params)

    def _advance(
        self, rate: Any, params: Any, opt_state: Any, key: Any, number: Any, train: Examples
    ) -> tuple[Any, Any]:
        """To the next point, with the next part of the order of images that its pass has."""
        key, dropout = jax.random.split(jax.random.fold_in(key, number // self._points))
        order = jax.random.permutation(key, len(train.labels))
        images = self._steps * self._batch_size
        part = jax.lax.dynamic_slice_in_dim(order, number % self._points * images, images)
        batches = part.reshape(self._steps, self._batch_size)
        optimizer = self._method.optimizer(rate)
        dropout = jax.random.fold_in(dropout, number)
        return descend(self._graphdef, optimizer, params, opt_state, train, batches, dropout)

    def _measure(self, params: Any, opt_state: Any, examples: tuple[Examples, ...]) -> "_Measured":
        weights = eval_params(opt_state, params)
        train, validation, test = examples
        sample = jax.tree.map(lambda array: array[:MEASURED], train)
        (cost, _), (_, validation_errors), (_, test_errors) = (
            cost_and_errors(self._graphdef, weights, these) for these in (sample, validation, test)
        )
        nan = jnp.stack([jnp.isnan(w).any() for w in jax.tree.leaves(params)])
        return _Measured(cost, validation_errors, test_errors, nan.any())

    def _run(
        self,
        settings: Settings,
        compile_seconds: float,
        seconds: Sequence[float],
        measured: Sequence["_Measured"],
    ) -> Run:
        diverged = [point.diverged for point in measured]
        last = diverged.index(True) if True in diverged else len(measured) - 1
        return Run(
            settings,
            True in diverged,
            self._weights,
            self._state_bytes / self._weights,
            compile_seconds,
            tuple(
                Point(
                    number * self._steps,
                    number / self._points,
                    seconds[number],
                    measured[number].train_cost,
                    100 * measured[number].validation_errors / len(self._splits.validation.labels),
                    100 * measured[number].test_errors / len(self._splits.test.labels),
                )
                for number in range(last + 1)
            ),
        )


class _Measured(NamedTuple):
    """At one point; arrays with an entry for each run at once, or the numbers of one."""

    train_cost: Any
    validation_errors: Any
    test_errors: Any
    diverged: Any
