"""A transformation on its walk: the updates that a fixed course of gradients gets from it.

The gradients are given and do not depend on the weights, so that rounding has
nowhere to grow and the walks of two laws can be compared. The loss that update
is given, as `value`, is that of the linear function with these gradients,
`value_fn`; whoever has no use for them is not given them.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

PARAMS = {
    "bias": np.array([0.5, -1.0, 2.0], np.float32),
    "kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
}
DTYPES = ("bfloat16", "float32", "float16", "float64")
SLOPES = (1.0, -1.0, 2.0, -0.5, 4.0)


class Walk(NamedTuple):
    """The updates of all steps, stacked along a leading axis of time, and the state after them."""

    updates: Any
    state: Any


class Mix(NamedTuple):
    """An update seen abstractly; `case` says of what dtypes the parameters and gradients are."""

    case: str
    params: Any
    updates: Any
    state: Any
    following: Any


class Subject:
    """A transformation, the parameters that it is checked on, and its walks over them.

    Attributes:
      make: builds it anew.
      params: the parameters at the start.
      steps: the length of a walk.
      gradients: of all steps, stacked.
      losses: of all steps.
      traces: how often its jitted step was traced.
    """

    def __init__(
        self,
        make: Callable[[], optax.GradientTransformation],
        params: optax.Params | None,
        steps: int,
    ) -> None:
        self.make = lambda: optax.with_extra_args_support(make())
        self.tx = self.make()
        self.params = jax.tree.map(jnp.asarray, PARAMS if params is None else params)
        self.steps = steps
        self.losses = np.resize(np.array([1.0, 0.75, 1.25, 1.5, 0.5], np.float32), steps)
        rng = np.random.default_rng(0)
        self.gradients = jax.tree.map(
            lambda w: rng.normal(size=(steps, *w.shape)).astype(w.dtype), self.params
        )
        self.traces = 0

    def along(self, course: Sequence[float]) -> Any:
        """Gradients that all take one course, each weight's with a slope of its own."""

        def of_leaf(w: Any) -> Any:
            slopes = np.resize(SLOPES, w.size).reshape(w.shape)
            return np.multiply.outer(course, slopes).astype(w.dtype)

        return jax.tree.map(of_leaf, self.params)

    @cached_property
    def jitted(self) -> Callable[..., Any]:
        """One step, which takes the buffers of parameters and state."""

        def counted(*args: Any) -> Any:
            self.traces += 1
            return step(self.tx, *args)

        return jax.jit(counted, donate_argnums=(0, 1))

    @cached_property
    def eager(self) -> Walk:
        """The walk operation by operation."""
        with jax.disable_jit():
            return self.walk()

    def compiled(self, params: Any, gradients: Any) -> Walk:
        """The walk by the jitted step."""
        return self.walk(self.jitted, params, gradients)

    @cached_property
    def mixes(self) -> list[Mix]:
        """An update for every mix of dtypes of parameters and gradients."""
        mixes = []
        for dtypes in itertools.product(DTYPES, repeat=2):
            with jax.enable_x64("float64" in dtypes), jax.disable_jit():
                params, gradients = (
                    jax.tree.map(lambda w, d=d: jax.ShapeDtypeStruct(w.shape, d), PARAMS)
                    for d in dtypes
                )
                loss, tx = jax.ShapeDtypeStruct((), jnp.float32), self.make()
                state = jax.eval_shape(tx.init, params)
                _, following, updates = jax.eval_shape(
                    partial(step, tx), params, state, gradients, loss
                )
            case = "with {} parameters and {} gradients".format(*dtypes)
            mixes.append(Mix(case, params, updates, state, following))
        return mixes

    def walk(
        self, each: Callable[..., Any] | None = None, params: Any = None, gradients: Any = None
    ) -> Walk:
        """The walk by `each` step, which takes and returns what `step` does after `tx`."""
        each = partial(step, self.tx) if each is None else each
        params = self.params if params is None else params
        # Copies, since a step may be jitted to take their buffers, and they may be one.
        params, state = jax.tree.map(jnp.copy, (params, self.tx.init(params)))
        path = []
        for inputs in self.course(gradients):
            params, state, updates = each(params, state, *inputs)
            path.append(updates)
        return Walk(stacked(path), state)

    def course(self, gradients: Any = None) -> list[Any]:
        """The gradients and the loss of one step after another."""
        gradients = self.gradients if gradients is None else gradients
        inputs = zip(unstacked(gradients), self.losses, strict=True)
        return [jax.tree.map(jnp.asarray, each) for each in inputs]


def step(tx: Any, params: Any, state: Any, gradients: Any, loss: Any) -> Any:
    """The next parameters and state, and the update between."""
    words = words_of_a_solver(params, gradients, loss)
    updates, state = tx.update(gradients, state, params, **words)
    return optax.apply_updates(params, updates), state, updates


def words_of_a_solver(params: Any, gradients: Any, loss: Any) -> dict[str, Any]:
    """The extra arguments that Optax's transformations know, of the linear function."""

    def value_fn(w: Any) -> Any:
        slopes = jax.tree.map(lambda g, w, p: jnp.sum(jnp.real(g * (w - p))), gradients, w, params)
        return loss + sum(jax.tree.leaves(slopes))

    return {"value": loss, "grad": gradients, "value_fn": value_fn}


def stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstacked(tree: Any) -> list[Any]:
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]
