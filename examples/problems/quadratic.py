"""A quadratic of condition number 10⁴, with its axes along the weights, and rotated.

    E(w) = ½ |D R (w − 1)|²,    D = diag(√λ),    λ from 1 to 10⁻⁴

Its Hessian is Rᵀ D² R. `problem` has R = I, so that a method with a rate for each weight can undo
the curvatures. `rotated` has a random rotation R, and no such method can. An example is the whole
quadratic, and a pass is 100 steps without noise. The logarithm of E judges, since methods end many
decades apart.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gdmethods.study import Problem

WEIGHTS, CONDITION, STEPS = 20, 1e4, 100
SOLVED = 1e-12  # where the rounding of float32 weights begins to show

Matrices = NDArray[np.float64]

CURVATURES = np.geomspace(1, 1 / CONDITION, WEIGHTS)
ROTATION, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(WEIGHTS, WEIGHTS)))


def init(key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (WEIGHTS,))


def loss(params: jax.Array, batch: Matrices, key: jax.Array | None) -> jax.Array:
    """E(w), for each D R."""
    return 0.5 * jnp.mean(jnp.sum((batch @ (params - 1)) ** 2, axis=-1))


def decades(params: jax.Array, batch: Matrices) -> jax.Array:
    """The logarithm of E(w) to base 10, from where the problem is solved."""
    return jnp.log10(jnp.maximum(loss(params, batch, None), SOLVED))


def _problem(rotation: Matrices, text: str) -> Problem:
    matrix = np.sqrt(CURVATURES)[:, None] * rotation
    return Problem(
        init,
        loss,
        train=np.tile(matrix, (STEPS, 1, 1)),
        validation=matrix[None],
        metrics={"log10 loss": decades},
        batch_size=1,
        text=f"a quadratic of {WEIGHTS} weights and condition number {CONDITION:,.0f}, {text}",
        target=-5.0,
    )


problem = _problem(np.eye(WEIGHTS), "along the axes")
rotated = _problem(ROTATION, "rotated")
