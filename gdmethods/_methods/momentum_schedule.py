"""The momentum schedule of the lecture. Any Optax schedule serves as well."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods.rules import Scalar, scalar


def sutskever_momentum_schedule(
    max_momentum: Scalar = 0.99, period: Scalar = 250
) -> optax.Schedule:
    """Momentum that starts at 1/2 and approaches its cap in steps.

        μ(t) = min(1 − 2^(−1 − log₂(⌊t/period⌋ + 1)), max_momentum)
             = min(1 − 1/(2k), max_momentum),    k = ⌊t/period⌋ + 1

    Arguments:
      max_momentum: the cap, in [0, 1].
      period: updates between two steps, > 0.

    Returns:
      A schedule: from the step count t, 0 at the first update, to μ; float32
      (float64 in 64-bit JAX).

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> import gdmethods
      >>> mu = gdmethods.sutskever_momentum_schedule()
      >>> print(*(f"{mu(t):.4f}" for t in (0, 249, 250, 500, 750, 1000, 12250)))
      0.5000 0.5000 0.7500 0.8333 0.8750 0.9000 0.9900

    Source: I. Sutskever, J. Martens, G. Dahl, G. Hinton, On the importance of
    initialization and momentum in deep learning, ICML 2013, section 3.
    """
    max_momentum = scalar("max_momentum", max_momentum, "[0, 1]")
    period = scalar("period", period, "(0, inf)")

    def schedule(count: Any) -> jax.Array:
        k = jnp.floor(jnp.asarray(count, jnp.result_type(float)) / period) + 1.0
        return jnp.minimum(1.0 - 0.5 / k, max_momentum)

    return schedule
