"""Random gradients for a tree of weights, and the displacements that a method makes of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

STEPS = 200
SHAPES = {"kernel": (4, 3), "layer": {"scale": ()}}

# The precision asked of every method and every option, real and complex.
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["float64", "float32"]
)
COMPLEX_PRECISIONS = pytest.mark.parametrize(
    ("dtype", "rtol"),
    [(np.complex128, 1e-12), (np.complex64, 1e-5)],
    ids=["complex128", "complex64"],
)


def x64(dtype: Any) -> Any:
    """The context in which JAX keeps arrays of this dtype as they are."""
    return jax.enable_x64(np.dtype(dtype) in (np.float64, np.complex128))


def random_gradients(dtype: Any = np.float64, *, decades: float = 3) -> Any:
    """Gradients stacked along a leading axis of time.

    Each weight has a scale of its own, up to so many decades from 1, and a slow wave under its
    noise, so that runs of one sign come as well as changes. One gradient in ten is exactly zero,
    and the first weight of the kernel never has another.
    """
    rng = np.random.default_rng(0)
    time = np.arange(STEPS)

    def waves(shape: tuple[int, ...]) -> np.ndarray:
        scale = 10 ** rng.uniform(-decades, decades, shape)
        period, phase = rng.uniform(5, 60, shape), rng.uniform(0, 2 * np.pi, shape)
        wave = np.sin(2 * np.pi * time.reshape(-1, *[1] * len(shape)) / period + phase)
        noise = rng.normal(size=(STEPS, *shape))
        return scale * (wave + 0.5 * noise) * (rng.uniform(size=(STEPS, *shape)) > 0.1)

    def gradients(shape: tuple[int, ...]) -> np.ndarray:
        stacked = waves(shape)
        if np.issubdtype(dtype, np.complexfloating):
            stacked = stacked + 1j * waves(shape)
        if shape:
            stacked[:, 0, 0] = 0
        return stacked.astype(dtype)

    return jax.tree.map(gradients, SHAPES, is_leaf=lambda leaf: isinstance(leaf, tuple))


@partial(jax.jit, static_argnums=0)
def displacements(
    transformation: optax.GradientTransformationExtraArgs,
    gradients: Any,
    losses: jax.Array | None = None,
) -> Any:
    """The updates for stacked gradients, stacked."""
    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), gradients)

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        gradient, loss = inputs
        extra_args = {} if loss is None else {"value": loss}
        updates, state = transformation.update(gradient, state, params, **extra_args)
        return state, updates

    return jax.lax.scan(step, transformation.init(params), (gradients, losses))[1]


def assert_close(actual: Any, expected: Any, rtol: float, *, cancels: bool = False) -> None:
    """Every displacement of every weight equals its oracle to a relative rtol.

    Where a method adds terms of both signs they may cancel, and what is left has no digits of
    its own to compare. Such a displacement is measured by the largest that its weight has made
    so far.
    """

    def check(path: Any, actual: Any, expected: Any) -> None:
        expected = np.asarray(expected)
        size = np.abs(expected)
        if cancels:
            size = np.maximum.accumulate(size, axis=0)
        excess = np.abs(np.asarray(actual, expected.dtype) - expected) - rtol * size
        assert np.all(excess <= 0), (
            f"{jax.tree_util.keystr(path)} differs first at "
            f"{tuple(int(i) for i in np.argwhere(~(excess <= 0))[0])}"
        )

    jax.tree_util.tree_map_with_path(check, actual, expected)


def assert_equals_oracle(
    transformation: optax.GradientTransformationExtraArgs,
    oracle: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    dtype: Any,
    rtol: float,
    *,
    cancels: bool = False,
    decades: float = 3,
    losses: np.ndarray | None = None,
) -> None:
    """The displacements of a transformation over 200 random gradients are the oracle's.

    The oracle computes in double precision from the gradients as rounded to dtype. One leaf is
    compiled faster than two.
    """
    gradients = random_gradients(dtype, decades=decades)["kernel"]
    double = np.complex128 if np.issubdtype(dtype, np.complexfloating) else np.float64
    expected = np.stack(oracle(list(gradients.astype(double))))
    with x64(dtype):
        actual = displacements(transformation, gradients, losses)
        assert actual.dtype == dtype
        assert_close(actual, expected, rtol, cancels=cancels)
