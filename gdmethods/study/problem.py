"""What the methods of a study are tried on: first weights, a loss, data and what judges."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import jax

LOSS = "loss"
"""The judge of a problem that has no metrics."""


class ProblemError(ValueError):
    """A part of a problem does not fit the others; the message says what was expected."""


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A model, its loss and its data: the methods of a study are compared on it.

    A batch is a tree like `train`, such as `(x, y)`, whose arrays have an
    example in each row. `key` is a `jax.random.key` for what is drawn at
    random, as in dropout; it is None where the loss is only measured, and then
    nothing should be drawn. State that is not trained, such as batch
    statistics, is passed through the loss if `has_state`.

    Arguments:
      init: `init(key)` gives the first parameters; with `has_state`, the pair
        `(params, state)`.
      loss: `loss(params, batch, key)` gives the mean over the batch, a scalar;
        with `has_state`, `loss(params, state, batch, key)` gives the pair
        `(scalar, new state)`.
      train: the training data, in memory. Each pass takes them in another order,
        and leaves out the last ones if they fill no batch.
      validation: the data by which settings are chosen, in memory.
      test: the data that results are reported on, in memory; without them,
        `validation`.
      batches: in place of `train`, for data that do not fit in memory.
        `batches(key)` gives the batches of one pass: a generator, a PyTorch
        loader, a Grain data loader. To shuffle in NumPy, seed a generator by
        `int(jax.random.bits(key))`. It is called anew for each pass. Batches
        may differ in their number of examples, and in no other length.
      metrics: by name, `metric(params, batch)` gives the mean over the batch, a
        scalar; with `has_state`, `metric(params, state, batch)`. The first one
        judges; without any, the loss does.
      greater_is_better: a list of the metrics, by name, that should be large.
      batch_size: examples in a batch of `train`.
      name: in tables and files; by default the name that the command was
        given, and "problem 1" in `study`.
      text: a line about the problem, for the report.
      target: a value of the judge on the validation data; the time until it is
        reached is measured.
      has_state: whether there is state that is not trained; see above.

    A classifier of points in the plane, with 3 weights:

    >>> import jax, jax.numpy as jnp
    >>> from gdmethods.study import Problem, study
    >>> x = jax.random.normal(jax.random.key(0), (300, 2))
    >>> y = x[:, 0] > x[:, 1]
    >>> def init(key):
    ...     return {"w": jax.random.normal(key, 2), "b": jnp.zeros(())}
    >>> def loss(params, batch, key):
    ...     x, y = batch
    ...     return jnp.mean(jax.nn.softplus(jnp.where(y, -1, 1) * (x @ params["w"] + params["b"])))
    >>> def error(params, batch):
    ...     x, y = batch
    ...     return jnp.mean((x @ params["w"] + params["b"] > 0) != y)
    >>> problem = Problem(
    ...     init, loss, train=(x[:200], y[:200]), validation=(x[200:], y[200:]),
    ...     metrics={"error": error}, batch_size=20, name="plane",
    ... )
    >>> problem.judge
    'error'
    """

    init: Callable[[Any], Any]
    loss: Callable[..., Any]
    _: dataclasses.KW_ONLY
    train: Any = None
    validation: Any
    test: Any = None
    batches: Callable[[Any], Iterable[Any]] | None = None
    metrics: Mapping[str, Callable[..., Any]] = dataclasses.field(default_factory=dict)
    greater_is_better: Collection[str] = ()
    batch_size: int = 128
    name: str = ""
    text: str = ""
    target: float | None = None
    has_state: bool = False

    @property
    def judge(self) -> str:
        """The metric that chooses and compares."""
        return next(iter(self.metrics), LOSS)

    @property
    def examples(self) -> int | None:
        """How many train; None where the problem makes its own batches."""
        return None if self.batches else rows(self.train)

    def first(self, key: Any) -> tuple[Any, Any]:
        """The parameters and the state, which is empty where there is none."""
        return self.init(key) if self.has_state else (self.init(key), ())

    def stateful_loss(self, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        """The loss and the new state."""
        if self.has_state:
            loss, state = self.loss(params, state, batch, key)
            return loss, state
        return self.loss(params, batch, key), ()

    def measured(self, params: Any, state: Any, batch: Any) -> dict[str, Any]:
        """Each metric, or the loss where there is none."""
        if not self.metrics:
            return {LOSS: self.stateful_loss(params, state, batch, None)[0]}
        arguments = (params, state, batch) if self.has_state else (params, batch)
        return {name: metric(*arguments) for name, metric in self.metrics.items()}

    @staticmethod
    def from_nnx(
        build: Callable[[Any], Any],
        loss: Callable[[Any, Any], Any],
        *,
        metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        **rest: Any,
    ) -> "Problem":
        """A problem whose model is a Flax NNX module.

        Its `nnx.Param`s train. What it keeps besides is state: batch statistics
        and the keys of dropout are carried from step to step. It trains after
        `module.train()`, and is measured after `module.eval()`.

        Arguments:
          build: `build(rngs)` gives the module.
          loss: `loss(module, batch)` gives the mean over the batch.
          metrics: by name, `metric(module, batch)`.
          **rest: see `Problem`.

        >>> import jax
        >>> from flax import nnx
        >>> from gdmethods.study import Problem
        >>> x = jax.random.normal(jax.random.key(0), (300, 2))
        >>> y = x.sum(axis=1, keepdims=True)
        >>> problem = Problem.from_nnx(
        ...     lambda rngs: nnx.Linear(2, 1, rngs=rngs),
        ...     lambda module, batch: ((module(batch[0]) - batch[1]) ** 2).mean(),
        ...     train=(x[:200], y[:200]), validation=(x[200:], y[200:]), name="line",
        ... )
        """
        from gdmethods.study._flax_nnx import functions

        return Problem(**functions(build, loss, metrics or {}), has_state=True, **rest)

    @staticmethod
    def from_equinox(
        build: Callable[[Any], Any],
        loss: Callable[..., Any],
        *,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        **rest: Any,
    ) -> "Problem":
        """A problem whose model is an Equinox module.

        Its floating-point arrays train. It is measured in
        `equinox.nn.inference_mode`, where the loss gets a key that is always
        the same.

        Arguments:
          build: `build(key)` gives the module, or the pair of module and state
            that `equinox.nn.make_with_state(Model)(key)` gives.
          loss: `loss(module, batch, key)` gives the mean over the batch. With a
            state, `loss(module, state, batch, key)` gives the pair of the mean
            and the new state.
          metrics: by name, `metric(module, batch)`, or
            `metric(module, state, batch)`.
          **rest: see `Problem`.

        >>> import equinox as eqx, jax
        >>> from gdmethods.study import Problem
        >>> x = jax.random.normal(jax.random.key(0), (300, 2))
        >>> y = x.sum(axis=1, keepdims=True)
        >>> problem = Problem.from_equinox(
        ...     lambda key: eqx.nn.Linear(2, 1, key=key),
        ...     lambda module, batch, key: (
        ...         (jax.vmap(module)(batch[0]) - batch[1]) ** 2
        ...     ).mean(),
        ...     train=(x[:200], y[:200]), validation=(x[200:], y[200:]), name="line",
        ... )
        """
        from gdmethods.study._equinox import functions

        return Problem(**functions(build, loss, metrics or {}), has_state=True, **rest)


def rows(data: Any) -> int:
    """The examples in a tree of arrays."""
    return len(jax.tree.leaves(data)[0])
