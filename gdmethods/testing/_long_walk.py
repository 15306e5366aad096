"""A walk of a thousand steps in one compiled scan, with weights of three dtypes side by side.

Each element of a leaf has its own course of gradients. The courses have few
digits, so that all dtypes see the same gradients. The weights are summed in
float32, and `update` gets them rounded: it is not the transformation's fault
that a narrow weight loses small updates.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 1024
DTYPES = ("float32", "bfloat16", "float16")
CONSTANTS = np.array([1.0, -0.5, 2.0, -1.0, 0.25, 4.0, -2.0, 0.5])
SPREAD = 0.05  # of the gradients of replicas


def courses() -> Any:
    """Gradients of all steps, a column for each element."""
    t = np.arange(STEPS)
    rng = np.random.default_rng(2)
    return np.stack(
        [
            np.ones(STEPS),
            np.full(STEPS, -0.01),
            1 + 0.5 * np.sin(t / 7),
            (-1.0) ** t,
            1 / (1 + t / 20),
            np.where(t % 16 == 0, 1.0, 0.0),
            rng.normal(size=STEPS),
            3 + 0.5 * rng.normal(size=STEPS),
        ],
        axis=1,
    )


class LongPath(NamedTuple):
    """What a long walk shows, by dtype.

    updates: of all steps.
    numbers: the scalars of the state after each step, by their path.
    state: after the last step.
    """

    updates: dict[str, Any]
    numbers: dict[str, Any]
    state: dict[str, Any]


class LongWalk:
    """Long walks of a transformation, all by one compiled program.

    Attributes:
      dtypes: the DTYPES that `takes` allows.
      courses, constants: gradients of all steps; the constants never change.
      weights: at the start, in float32.
    """

    def __init__(
        self,
        tx: Any,
        words: Callable[..., dict[str, Any]],
        replicas: int,
        takes: Callable[[str], bool] = lambda dtype: dtype == "float32",
    ) -> None:
        self._tx, self._words = tx, words
        self.dtypes = [dtype for dtype in DTYPES if takes(dtype)]
        rng = np.random.default_rng(3)

        def gradients(rows: Any, *each: int) -> Any:
            if replicas:
                factors = rng.uniform(1 - SPREAD, 1 + SPREAD, (*each, rows.shape[1], replicas))
                rows = rows[..., None] * factors
            return jnp.asarray(rows, jnp.bfloat16).astype(jnp.float32)

        # Replicas with the same gradients would get the same noise, and then move together.
        self.courses = gradients(courses(), STEPS)
        self.constants = gradients(np.tile(CONSTANTS, (STEPS, 1)))
        shape = self.courses.shape[1:]
        weights = np.resize(2.0**-6 * np.array([1, -1, 0.5, -0.5]), shape[:1])
        weights = np.broadcast_to(weights.reshape(-1, *[1] * (len(shape) - 1)), shape)
        self.weights = jnp.asarray(weights, jnp.float32)

    @cached_property
    def start(self) -> dict[str, Any]:
        """The states before the first step.

        They have the types that a step returns, so that only the laws about types
        break where a step changes them.
        """
        states = {}
        for dtype in self.dtypes:
            state = self._tx.init({"w": self.weights.astype(dtype)})
            _, following, _ = jax.eval_shape(
                partial(self._step, dtype), self.weights, state, self.courses[0]
            )
            structures: list[Any] = [jax.tree.structure(tree) for tree in (following, state)]
            if structures[0] == structures[1]:
                state = jax.tree.map(_of_type, state, following)
            states[dtype] = state
        return states

    @cached_property
    def path(self) -> LongPath:
        """Along the courses."""
        return self.walk(self.start, self.courses)

    @cached_property
    def constant_path(self) -> LongPath:
        """Along the constants."""
        return self.walk(self.start, self.constants)

    def walk(self, states: dict[str, Any], gradients: Any) -> LongPath:
        updates, numbers, states = self._run(states, gradients)
        return LongPath(
            {dtype: np.asarray(u, np.float64) for dtype, u in updates.items()},
            jax.tree.map(np.asarray, numbers),
            states,
        )

    @cached_property
    def _run(self) -> Callable[..., Any]:
        def run(states: dict[str, Any], gradients: Any) -> Any:
            def body(carry: Any, gradients: Any) -> Any:
                steps = {
                    dtype: self._step(dtype, weights, state, gradients)
                    for dtype, (weights, state) in carry.items()
                }
                updates = {dtype: step[2] for dtype, step in steps.items()}
                numbers = {dtype: scalars(step[1]) for dtype, step in steps.items()}
                return {dtype: step[:2] for dtype, step in steps.items()}, (updates, numbers)

            carry = {dtype: (self.weights, state) for dtype, state in states.items()}
            carry, (updates, numbers) = jax.lax.scan(body, carry, gradients)
            return updates, numbers, {dtype: state for dtype, (_, state) in carry.items()}

        return jax.jit(run)

    def _step(self, dtype: str, weights: Any, state: Any, gradients: Any) -> Any:
        params, gradients = {"w": weights.astype(dtype)}, {"w": gradients.astype(dtype)}
        words = self._words(params, gradients, jnp.float32(1))
        updates, state = self._tx.update(gradients, state, params, **words)
        return weights + updates["w"].astype(weights.dtype), state, updates["w"]


def scalars(state: Any) -> dict[str, Any]:
    """The numbers of a state, by their path."""
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if jnp.shape(leaf) == () and not _is_key(leaf)
    }


def _of_type(leaf: Any, like: Any) -> Any:
    leaf = jnp.asarray(leaf)
    return leaf if _is_key(leaf) or leaf.dtype == like.dtype else leaf.astype(like.dtype)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
