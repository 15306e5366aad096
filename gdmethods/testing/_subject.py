"""A transformation on its walk: the updates that a fixed course of gradients gets from it.

The gradients are fixed and do not depend on the weights. So rounding errors do
not grow, and the walks of two laws can be compared. `value` is the loss of
`value_fn`, the linear function with these gradients. `update` gets both only if
it has such arguments.

A transformation that claims to round stochastically walks with REPLICAS of each
weight, along a last axis, whose weights and gradients differ slightly. Laws then
compare means and spreads over that axis.
"""

import collections
import itertools
import re
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods.testing._long_walk import LongWalk

PARAMS = {
    "bias": np.array([0.5, -1.0, 2.0], np.float32),
    "kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
}
DTYPES = ("bfloat16", "float32", "float16", "float64")
SLOPES = (1.0, -1.0, 2.0, -0.5, 4.0)
REPLICAS = 128
JITTER = 1e-4  # between replicas: far below a code of bfloat16, far above a rounding of float32


class Walk(NamedTuple):
    """The updates of all steps, stacked along a leading axis of time, and the state after them."""

    updates: Any
    state: Any


class Mix(NamedTuple):
    """An update by `jax.eval_shape`; `case` has the dtypes of parameters and gradients."""

    case: str
    params: Any
    updates: Any
    state: Any
    following: Any


class Subject:
    """A transformation, the parameters that it is checked on, and its walks over them.

    Attributes:
      make: builds it anew.
      claims, extra_args, reference: as `check_contract` was given them.
      params: the parameters at the start.
      own_params: whether they are the user's.
      steps: the length of a walk.
      gradients: of all steps, stacked.
      losses: of all steps.
      traces: how often its jitted step was traced, for each tree of parameters.
    """

    def __init__(
        self,
        make: Callable[[], optax.GradientTransformation],
        params: optax.Params | None = None,
        steps: int = 4,
        *,
        claims: Collection[str] = (),
        extra_args: Callable[[Any, Any, Any], dict[str, Any]] | None = None,
        reference: Callable[[], optax.GradientTransformation] | None = None,
    ) -> None:
        self.make = lambda: optax.with_extra_args_support(make())
        self.tx = self.make()
        self.claims, self.extra_args, self.reference = claims, extra_args, reference
        self.own_params = params is not None
        self.steps = steps
        self._rng = np.random.default_rng(0)
        weights = jax.tree.map(jnp.asarray, PARAMS if params is None else params)
        self.params = jax.tree.map(lambda w: jnp.asarray(self.replicated(w)), weights)
        self.losses = np.resize(np.array([1.0, 0.75, 1.25, 1.5, 0.5], np.float32), steps)
        self.gradients = jax.tree.map(
            lambda w: self.replicated(self._rng.normal(size=(steps, *w.shape)).astype(w.dtype)),
            weights,
        )
        self._weights = weights
        self.traces: collections.Counter[str] = collections.Counter()

    @property
    def replicas(self) -> int:
        """The length of the last axis of nearly equal weights; 0 without stochastic rounding."""
        return REPLICAS if "rounds_stochastically" in self.claims else 0

    def replicated(self, leaf: Any, jitter: float = JITTER) -> Any:
        """The leaf; if rounding is stochastic, with replicas along a last axis."""
        if not self.replicas:
            return leaf
        shape = (*leaf.shape, self.replicas)
        factors = 1 + self._rng.uniform(-jitter, jitter, shape)
        return (np.asarray(leaf)[..., None] * factors).astype(leaf.dtype)

    def along(self, course: Sequence[float]) -> Any:
        """Gradients that all follow one course, each weight's with its own slope."""
        self._rng = np.random.default_rng(1)

        def of_leaf(w: Any) -> Any:
            slopes = np.resize(SLOPES, w.size).reshape(w.shape)
            return self.replicated(np.multiply.outer(course, slopes).astype(w.dtype))

        return jax.tree.map(of_leaf, self._weights)

    def step(
        self, params: Any, state: Any, gradients: Any, loss: Any, tx: Any = None
    ) -> tuple[Any, Any, Any]:
        """The next parameters and state, and the update between."""
        words = self.words(params, gradients, loss)
        updates, state = (tx or self.tx).update(gradients, state, params, **words)
        return optax.apply_updates(params, updates), state, updates

    def words(self, params: Any, gradients: Any, loss: Any) -> dict[str, Any]:
        """The extra arguments: those of Optax's solvers, and the user's."""
        words = words_of_a_solver(params, gradients, loss)
        return words | (self.extra_args(params, gradients, loss) if self.extra_args else {})

    @cached_property
    def jitted(self) -> Callable[..., Any]:
        """One step, which takes the buffers of parameters and state."""

        def counted(params: Any, *others: Any) -> Any:
            self.traces[str(jax.eval_shape(lambda: params))] += 1
            return self.step(params, *others)

        return jax.jit(counted, donate_argnums=(0, 1))

    @cached_property
    def eager(self) -> Walk:
        """The walk operation by operation."""
        with jax.disable_jit():
            return self.walk()

    def compiled(self, params: Any, gradients: Any) -> Walk:
        """The walk by the jitted step."""
        return self.walk(self.jitted, params, gradients)

    def unsteadiness(self, params: Any, gradients: Any) -> Walk:
        """How far the compiled walk moves when its inputs move by one unit in the last place.

        Updates and sums that are small differences of large numbers move by much
        more than their own rounding. The largest distance of a leaf so far counts for
        the whole leaf.
        """
        walk = self.compiled(params, gradients)
        moves = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            moved = self.compiled(*jax.tree.map(partial(_a_unit_away, rng), (params, gradients)))
            moves.append(jax.tree.map(_distance, moved, walk))
        updates, state = jax.tree.map(lambda *each: np.maximum.reduce(each), *moves)
        return Walk(jax.tree.map(_largest_so_far, updates), jax.tree.map(np.max, state))

    @cached_property
    def long(self) -> LongWalk:
        """The walk of a thousand steps."""
        return LongWalk(self.tx, self.words, self.replicas, self.takes)

    @cached_property
    def mixes(self) -> list[Mix]:
        """An update for every mix of dtypes of parameters and gradients."""
        mixes = []
        for dtypes in itertools.product(filter(self.takes, DTYPES), DTYPES):
            with jax.enable_x64("float64" in dtypes), jax.disable_jit():
                params, gradients = (
                    jax.tree.map(lambda w, d=d: jax.ShapeDtypeStruct(w.shape, d), PARAMS)
                    for d in dtypes
                )
                loss, tx = jax.ShapeDtypeStruct((), jnp.float32), self.make()
                state = jax.eval_shape(tx.init, params)
                _, following, updates = jax.eval_shape(
                    partial(self.step, tx=tx), params, state, gradients, loss
                )
            case = "with {} parameters and {} gradients".format(*dtypes)
            mixes.append(Mix(case, params, updates, state, following))
        return mixes

    def takes(self, dtype: str) -> bool:
        """Whether init takes parameters of this dtype, and raises no error that names it."""
        try:
            with jax.enable_x64(dtype == "float64"):
                jax.eval_shape(self.tx.init, {"w": jax.ShapeDtypeStruct((2,), dtype)})
        except (TypeError, ValueError) as error:
            return not re.search(rf"\b{dtype}\b", str(error))
        return True

    def walk(
        self, each: Callable[..., Any] | None = None, params: Any = None, gradients: Any = None
    ) -> Walk:
        """The walk by `each`, a function with the arguments and results of `step`."""
        each = self.step if each is None else each
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
        inputs = zip(unstacked(gradients), self.losses, strict=False)
        return [jax.tree.map(jnp.asarray, each) for each in inputs]


def words_of_a_solver(params: Any, gradients: Any, loss: Any) -> dict[str, Any]:
    """The extra arguments of Optax's transformations, for the linear function."""

    def value_fn(w: Any) -> Any:
        def slope(g: Any, w: Any, p: Any) -> Any:
            return jnp.sum(jnp.real(jnp.conj(g) * (w - p)))

        return loss + sum(jax.tree.leaves(jax.tree.map(slope, gradients, w, params)))

    return {"value": loss, "grad": gradients, "value_fn": value_fn}


def stacked(trees: Sequence[Any], axis: int = 0) -> Any:
    """In NumPy, where no shape needs a compilation."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis), *trees)


def unstacked(tree: Any) -> list[Any]:
    leaves, structure = jax.tree.flatten(tree)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]


def _a_unit_away(rng: np.random.Generator, leaf: Any) -> Any:
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    signs = rng.choice([-1.0, 1.0], leaf.shape)
    return jnp.asarray(leaf * (1 + signs * float(jnp.finfo(leaf.dtype).eps)), leaf.dtype)


def _distance(x: Any, y: Any) -> Any:
    if not jnp.issubdtype(x.dtype, jnp.number):
        return np.zeros(x.shape)
    distance = np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64))
    return np.where(np.isfinite(distance), distance, 0.0)


def _largest_so_far(distances: Any) -> Any:
    """At each step the maximum over a leaf's elements and the steps so far."""
    largest = np.maximum.accumulate(distances.reshape(len(distances), -1).max(-1, initial=0.0))
    return largest.reshape(-1, *[1] * (distances.ndim - 1))
