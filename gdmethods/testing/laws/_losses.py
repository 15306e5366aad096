"""What varies is the loss: the gradients are those of a function of the weights."""

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.testing._differences import number
from gdmethods.testing._subject import Subject

STEPS = 400
CURVATURES = ((1.0,), (0.1, 1.0), (0.01, 1.0), (1.0, 1.0, 0.3))


def descends(subject: Subject) -> None:
    """On convex quadratics the loss falls, if the learning rate is small."""
    for curvatures in CURVATURES:
        # A reflection turns the axes of the quadratic away from those of the weights.
        mirror = np.array([1.0, 2.0, -1.0])[: len(curvatures)]
        turn = np.eye(len(mirror)) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
        hessian = jnp.asarray(turn @ np.diag(curvatures) @ turn, jnp.float32)
        weights = jnp.asarray(np.resize([1.0, -1.0], len(curvatures)), jnp.float32)
        losses = _losses(subject, hessian, weights)
        start, end = losses[: STEPS // 4].mean(), losses[-STEPS // 4 :].mean()
        if not end < start or not losses.max() < 2 * losses[0]:
            raise AssertionError(
                f"on a quadratic with curvatures {curvatures} the loss is {number(losses[0])} at "
                f"first and {number(losses.max())} at most; its mean over the first {STEPS // 4} "
                f"steps is {number(start)}, and over the last {number(end)}; it should fall"
            )


def _losses(subject: Subject, hessian: jax.Array, weights: jax.Array) -> np.ndarray:
    def loss(w: dict[str, jax.Array]) -> jax.Array:
        return w["w"] @ hessian @ w["w"] / 2

    def body(carry, _):  # type: ignore[no-untyped-def]
        params, state = carry
        value, gradients = jax.value_and_grad(loss)(params)
        words = subject.words(params, gradients, value) | {"value_fn": loss}
        updates, state = subject.tx.update(gradients, state, params, **words)
        return (jax.tree.map(jnp.add, params, updates), state), value

    params = {"w": weights}
    carry = params, subject.tx.init(params)
    _, losses = jax.jit(lambda carry: jax.lax.scan(body, carry, length=STEPS))(carry)
    return np.asarray(losses, np.float64)
