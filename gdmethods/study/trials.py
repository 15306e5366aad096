"""Runs: a method trains the model of a problem from one seed with one setting.

The arguments of the method and the seed are arguments of the compiled code, so that a method is
compiled once for a problem, and several of its runs can train at once under `jax.vmap`. Everything
that is drawn at random comes from the seed: the first weights, the order of the data, what the
loss draws. Each method has the same of it.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods.study.dry_step import first_batch
from gdmethods.study.identity import function_crc32
from gdmethods.study.methods import Method, eval_params
from gdmethods.study.outcomes import Point, Run, Settings
from gdmethods.study.problem import Problem, ProblemError, rows

SAMPLE = 10_000
"""Training examples whose loss is measured; always the same."""

PIECE = 1_000
"""Examples that are measured at once."""

TIMED_STEPS, TIMED_SECONDS = 3, 0.3


class Costs(NamedTuple):
    """What a run costs, in seconds; the steps of a pass are None where nobody knows them yet."""

    compiling: float
    step: float
    measuring: float
    steps: int | None


class Prepared:
    """A problem with its data on the device, and what is compiled once for all methods."""

    def __init__(self, problem: Problem, *, points: int, together: int) -> None:
        self.problem = problem
        self.points = points
        self.together = together if problem.batches is None else 1
        self.batch = first_batch(problem)
        self.params, self.state = jax.eval_shape(problem.first, jax.random.key(0))
        self.weights = sum(w.size for w in jax.tree.leaves(self.params))

    @functools.cached_property
    def first(self) -> Callable[[Any], Any]:
        """From the seeds to the first parameters and states, and a key for the rest of a run."""

        def first(seed: Any) -> tuple[Any, Any, Any]:
            first, key = jax.random.split(jax.random.key(seed))
            return *self.problem.first(first), key

        return jax.jit(jax.vmap(first))

    @functools.cached_property
    def steps(self) -> int | None:
        """Of a pass; None where the problem makes its own batches and they have no length."""
        if self.problem.batches is None:
            return rows(self.problem.train) // self.problem.batch_size
        batches = self.problem.batches(jax.random.key(0))
        return len(batches) if isinstance(batches, Sized) else None

    @functools.cached_property
    def train(self) -> Any:
        return jax.tree.map(jnp.asarray, self.problem.train)

    def measure(self, params: Any, state: Any) -> "Measured":
        """At one point: arrays with an entry for each run."""
        measured: Measured = jax.device_get(self._measure(params, state, self._measured_data))
        return measured

    @functools.cached_property
    def _measured_data(self) -> tuple[Any, ...]:
        parts: tuple[Any, ...] = (self._sample(), self.problem.validation, self.problem.test)
        parts = jax.tree.map(jnp.asarray, parts)
        return parts

    def _sample(self) -> Any:
        """Of the training data."""
        if self.problem.batches is None:
            train = self.problem.train
            if rows(train) <= SAMPLE:
                return train
            drawn = np.asarray(jax.random.permutation(jax.random.key(0), rows(train))[:SAMPLE])
            return jax.tree.map(lambda array: array[drawn], train)
        batches, examples = [], 0
        for batch in self.problem.batches(jax.random.key(0)):
            batches.append(jax.tree.map(np.asarray, batch))
            examples += rows(batches[-1])
            if examples >= SAMPLE:
                break
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)

    @functools.cached_property
    def _measure(self) -> Callable[..., Any]:
        problem = self.problem

        def measure(params: Any, state: Any, data: tuple[Any, ...]) -> Measured:
            sample, validation, test = data
            loss = _mean(
                lambda batch: problem.stateful_loss(params, state, batch, None)[0], sample
            )
            metrics = functools.partial(problem.measured, params, state)
            finite = [jnp.isfinite(w).all() for w in jax.tree.leaves(params)]
            return Measured(
                loss,
                _mean(metrics, validation),
                {} if test is None else _mean(metrics, test),
                ~(jnp.stack(finite).all() & jnp.isfinite(loss)),
            )

        return jax.jit(jax.vmap(measure, in_axes=(0, 0, None)))


def _mean(function: Callable[[Any], Any], data: Any) -> Any:
    """Over all examples of a function that is itself a mean over a batch, piece by piece."""
    examples = rows(data)
    pieces = -(-examples // PIECE)
    size = examples // pieces
    even = pieces * size
    whole = jax.tree.map(lambda a: a[:even].reshape(pieces, size, *a.shape[1:]), data)
    means = jax.tree.map(lambda means: means.mean(0), jax.lax.map(function, whole))
    if even == examples:
        return means
    rest = function(jax.tree.map(lambda a: a[even:], data))
    share = (examples - even) / examples
    return jax.tree.map(lambda mean, last: mean + share * (last - mean), means, rest)


class Measured(NamedTuple):
    """At one point: arrays with an entry for each run, or the numbers of one."""

    loss: Any
    validation: dict[str, Any]
    test: dict[str, Any]
    diverged: Any


class _Reached(NamedTuple):
    """How far a run, or a pass, has come; see `Point`."""

    steps: int
    passes: float
    seconds: float


class Trainer:
    """A method on a problem: refuses at once what cannot train, compiles when first used.

    The runs have a value for each of `arguments`.
    """

    def __init__(self, prepared: Prepared, method: Method, arguments: Sequence[str]) -> None:
        self._prepared = prepared
        self._method = method
        scalars = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in arguments}
        params, state = prepared.params, prepared.state
        opt_state = jax.eval_shape(self._first_state, scalars, params)
        carry = params, state, opt_state
        stepped = jax.eval_shape(self._step, scalars, carry, prepared.batch, jax.random.key(0))
        if _shapes(stepped) != _shapes(carry):
            raise TypeError("a step changes the shapes or dtypes of the weights or of the state")
        self.method_crc32 = function_crc32(self._first_state, scalars, params)
        self.method_crc32 = function_crc32(
            self._update, scalars, params, opt_state, params, 0.0, crc=self.method_crc32
        )
        self._state_bytes = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(opt_state))
        passes = _InMemory if prepared.problem.batches is None else _Streamed
        self._passes = passes(prepared, self._step)

    def costs(self, arguments: Mapping[str, float]) -> Costs:
        """Timed on a few steps, from seed 0."""
        together = self._prepared.together
        given, keys, carry = self._begin([arguments] * together, [0] * together)
        self._prepared.measure(*carry[:2])
        begin = time.perf_counter()
        self._prepared.measure(*carry[:2])
        measuring = time.perf_counter() - begin
        compiling = self._passes.compile(given, carry, keys)
        step = self._passes.timed(given, carry, keys)
        return Costs(compiling, step / together, measuring / together, self._prepared.steps)

    def train(self, runs: Sequence[Settings], advanced: Callable[[float], None]) -> list[Run]:
        """Train at most `together` runs at once; `advanced` hears of each part of a pass."""
        prepared = self._prepared
        spare = prepared.together - len(runs)  # filled, so that one shape serves all
        padded = [*runs, *[runs[-1]] * spare]
        arguments, keys, first = self._begin(
            [run.arguments for run in padded], [run.seed for run in padded]
        )
        compiling = self._passes.compile(arguments, first, keys)
        points: list[_Reached] = []
        measured: list[Measured] = []
        for carry, reached in self._through(runs[0].passes, arguments, first, keys):
            if points:
                advanced(reached.passes - points[-1].passes)
            points.append(reached._replace(seconds=reached.seconds / len(runs)))
            measured.append(self._measured(carry))
            if measured[-1].diverged.all():
                break
        return [
            self._run(
                settings,
                compiling,
                points,
                [jax.tree.map(lambda values, i=i: values[i].item(), each) for each in measured],
            )
            for i, settings in enumerate(runs)
        ]

    def _through(
        self, passes: int, arguments: Any, first: Any, keys: Any
    ) -> Iterator[tuple[Any, _Reached]]:
        """From before the first step through all passes, to each point."""
        carry, start = first, _Reached(0, 0.0, 0.0)
        yield carry, start
        for number in range(passes):
            points = self._passes.over(number, arguments, carry, keys)
            for carry, within in points:
                steps, seconds = start.steps + within.steps, start.seconds + within.seconds
                yield carry, _Reached(steps, number + within.passes, seconds)
            start = _Reached(steps, number + 1.0, seconds)

    def _begin(
        self, arguments: Sequence[Mapping[str, float]], seeds: Sequence[int]
    ) -> tuple[Any, Any, Any]:
        given = {
            name: jnp.asarray([each[name] for each in arguments], jnp.float32)
            for name in arguments[0]
        }
        params, state, keys = self._prepared.first(jnp.asarray(seeds, jnp.uint32))
        return given, keys, (params, state, self._compiled_first_state(given, params))

    @functools.cached_property
    def _compiled_first_state(self) -> Callable[[Any, Any], Any]:
        return jax.jit(jax.vmap(self._first_state))

    def _first_state(self, arguments: Any, params: Any) -> Any:
        return self._method.optimizer(**arguments).init(params)

    def _update(
        self, arguments: Any, gradients: Any, opt_state: Any, params: Any, loss: Any
    ) -> tuple[Any, Any]:
        optimizer = self._method.optimizer(**arguments)
        updates, opt_state = optimizer.update(gradients, opt_state, params, value=loss)
        return optax.apply_updates(params, updates), opt_state

    def _step(self, arguments: Any, carry: Any, batch: Any, key: Any) -> Any:
        params, state, opt_state = carry
        loss_and_gradient = jax.value_and_grad(self._prepared.problem.stateful_loss, has_aux=True)
        (loss, state), gradients = loss_and_gradient(params, state, batch, key)
        params, opt_state = self._update(arguments, gradients, opt_state, params, loss)
        return params, state, opt_state

    @functools.cached_property
    def _weights_to_measure(self) -> Callable[[Any, Any], Any]:
        return jax.jit(jax.vmap(eval_params))

    def _measured(self, carry: Any) -> Measured:
        params, state, opt_state = carry
        return self._prepared.measure(self._weights_to_measure(opt_state, params), state)

    def _run(
        self,
        settings: Settings,
        compile_seconds: float,
        points: Sequence[_Reached],
        measured: Sequence[Measured],
    ) -> Run:
        diverged = [each.diverged for each in measured]
        last = diverged.index(True) if True in diverged else len(measured) - 1
        return Run(
            settings,
            True in diverged,
            self._prepared.weights,
            self._state_bytes / self._prepared.weights,
            compile_seconds,
            tuple(
                Point(*point, each.loss, each.validation, each.test)
                for point, each in zip(points[: last + 1], measured, strict=False)
            ),
        )


def _marks(points: int, steps: int) -> list[int]:
    """The steps of a pass after which it is measured; the last one is its end."""
    points = min(points, steps)
    return [round(steps * point / points) for point in range(1, points + 1)]


def _keys_of_a_pass(key: Any, number: Any) -> tuple[Any, Any]:
    """For the order of the data, and for what the loss draws."""
    order, drawn = jax.random.split(jax.random.fold_in(key, number))
    return order, drawn


class _InMemory:
    """Passes over arrays: a compiled loop from point to point, over an order drawn anew."""

    def __init__(self, prepared: Prepared, step: Callable[..., Any]) -> None:
        self._prepared = prepared
        self._step = step
        assert prepared.steps is not None
        self._steps = prepared.steps
        self._compiled: Any = None
        self._seconds = 0.0

    def compile(self, arguments: Any, carry: Any, keys: Any) -> float:
        """The seconds that it took, whenever that was."""
        if self._compiled is None:
            begin = time.perf_counter()
            over_runs = jax.vmap(self._advance, in_axes=(0, 0, 0, None, None, None, None))
            self._compiled = (
                jax.jit(over_runs, donate_argnums=1)
                .lower(arguments, carry, keys, 0, 0, 0, self._prepared.train)
                .compile()
            )
            self._seconds = time.perf_counter() - begin
        return self._seconds

    def timed(self, arguments: Any, carry: Any, keys: Any) -> float:
        seconds = 1.0
        for _ in range(2):  # the first time tells how many steps are enough the second time
            steps = min(self._steps, max(TIMED_STEPS, round(TIMED_SECONDS / seconds)))
            begin = time.perf_counter()
            carry = self._reach(arguments, carry, keys, 0, 0, steps)
            seconds = (time.perf_counter() - begin) / steps
        return seconds

    def over(
        self, number: int, arguments: Any, carry: Any, keys: Any
    ) -> Iterator[tuple[Any, _Reached]]:
        """Through a pass, to each of its points."""
        seconds = 0.0
        for first, last in itertools.pairwise([0, *_marks(self._prepared.points, self._steps)]):
            begin = time.perf_counter()
            carry = self._reach(arguments, carry, keys, number, first, last)
            seconds += time.perf_counter() - begin
            yield carry, _Reached(last, last / self._steps, seconds)

    def _reach(
        self, arguments: Any, carry: Any, keys: Any, number: int, first: int, last: int
    ) -> Any:
        train = self._prepared.train
        return jax.block_until_ready(
            self._compiled(arguments, carry, keys, number, first, last, train)
        )

    def _advance(
        self, arguments: Any, carry: Any, key: Any, number: Any, first: Any, last: Any, train: Any
    ) -> Any:
        """From a step of a pass to another."""
        size = self._prepared.problem.batch_size
        order_key, drawn = _keys_of_a_pass(key, number)
        order = jax.random.permutation(order_key, rows(train))

        def step(number: Any, carry: Any) -> Any:
            drawn_rows = jax.lax.dynamic_slice_in_dim(order, number * size, size)
            batch = jax.tree.map(lambda array: array[drawn_rows], train)
            return self._step(arguments, carry, batch, jax.random.fold_in(drawn, number))

        return jax.lax.fori_loop(first, last, step, carry)


class _Streamed:
    """Passes over what an iterable gives: a compiled step for each shape of a batch."""

    def __init__(self, prepared: Prepared, step: Callable[..., Any]) -> None:
        self._prepared = prepared
        self._over_runs = jax.jit(jax.vmap(step, in_axes=(0, 0, None, 0)), donate_argnums=1)
        self._compiled: dict[Any, Any] = {}
        self._seconds = 0.0
        self._steps = prepared.steps

    def compile(self, arguments: Any, carry: Any, keys: Any, batch: Any = None) -> float:
        """The seconds that all shapes took so far."""
        batch = self._prepared.batch if batch is None else batch
        kind = _shapes(batch)
        if kind not in self._compiled:
            begin = time.perf_counter()
            self._compiled[kind] = self._over_runs.lower(arguments, carry, batch, keys).compile()
            self._seconds += time.perf_counter() - begin
        return self._seconds

    def timed(self, arguments: Any, carry: Any, keys: Any) -> float:
        for _ in range(TIMED_STEPS):
            begin = time.perf_counter()
            carry = self._stepped(arguments, carry, self._prepared.batch, keys)
            jax.block_until_ready(carry)
        return time.perf_counter() - begin

    def over(
        self, number: int, arguments: Any, carry: Any, keys: Any
    ) -> Iterator[tuple[Any, _Reached]]:
        """Through a pass, to each of its points: only its end, where its length is not known."""
        assert self._prepared.problem.batches is not None
        order, drawn = _keys_of_a_pass(keys[0], number)
        marks = [] if self._steps is None else _marks(self._prepared.points, self._steps)[:-1]
        steps, seconds = 0, 0.0
        begin, compiled = time.perf_counter(), self._seconds

        def reached() -> tuple[Any, _Reached]:
            nonlocal seconds
            jax.block_until_ready(carry)
            seconds += time.perf_counter() - begin - (self._seconds - compiled)
            return carry, _Reached(steps, steps / (self._steps or steps), seconds)

        for given in self._prepared.problem.batches(order):
            if steps and steps in marks:
                yield reached()
                begin, compiled = time.perf_counter(), self._seconds
            batch = jax.tree.map(np.asarray, given)
            key = jax.random.fold_in(drawn, steps)[None]
            self.compile(arguments, carry, key, batch)
            carry = self._stepped(arguments, carry, batch, key)
            steps += 1
        if not steps:
            raise ProblemError(
                "batches(key) gave no batch in a later pass; it must give a new iterable each "
                "time that it is called"
            )
        yield reached()

    def _stepped(self, arguments: Any, carry: Any, batch: Any, keys: Any) -> Any:
        return self._compiled[_shapes(batch)](arguments, carry, batch, keys)


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
