"""AdamW: Adam with a weight decay that does not pass through the gradients."""

from __future__ import annotations

from typing import Any

import jax

from gdmethods._methods.adam import AdamState, adam, corrections, enough_in_eight_bits
from gdmethods.rules import (
    Decay,
    Eps,
    EpsRoot,
    LeafState,
    NonNegativeOrNone,
    Rate,
    optimizer,
    rule_of,
)


@optimizer(AdamState, eight_bits=enough_in_eight_bits, once=corrections, weights=True)
def adamw(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Eps = 1e-8,
    eps_root: EpsRoot = 0.0,
    *,
    weight_decay: NonNegativeOrNone = 1e-4,
    mask: Any = None,
    bias_correction: bool = True,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Adam with decoupled weight decay.

        Δₜ = −ηₜ m̂ₜ / (√(v̂ₜ + eps_root) + eps) − ηₜ λ wₜ

    m̂ and v̂ are those of `adam`. The decay does not pass through Adam's
    moments, so that it is the same for weights with large and with small
    gradients. It is multiplied by η and its schedule. Both terms are added
    before the update is rounded to the parameter's dtype.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      weight_decay: λ ≥ 0; or None.
      mask: the weights that decay: a tree of bools like the parameters or a
        prefix of it, or a function that returns one from the parameters. With
        None all weights decay.
      bias_correction: False takes m̂ = m and v̂ = v.
      accumulator_dtype: of m and v, as in `adam`.

    Returns:
      A transformation with the state `AdamState`. Its updates Δ have the
      parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients, the state or the mask do not fit, or the
        parameters are not given.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> decays = {"kernel": True, "bias": False}
      >>> tx = gdmethods.adamw(0.1, weight_decay=0.01, mask=decays)
      >>> w = {"kernel": jnp.array(2.0), "bias": jnp.array(2.0)}
      >>> no_gradients = {"kernel": jnp.array(0.0), "bias": jnp.array(0.0)}
      >>> updates, state = tx.update(no_gradients, tx.init(w), w)
      >>> for name in w:
      ...     print(f"{name} {w[name] + updates[name]:.3f}")
      kernel 1.998
      bias 2.000

    Elsewhere: the same in `optax.adamw`. `torch.optim.AdamW` has λ = 0.01.
    `keras.optimizers.AdamW` has λ = 0.004 and ε̂, as Keras' Adam has.

    Source: I. Loshchilov, F. Hutter, Decoupled weight decay regularization,
    ICLR 2019.
    """
    step = rule_of(adam)(g, s, learning_rate, b1, b2, eps, eps_root)
    decay: jax.Array = learning_rate * weight_decay * s.w
    return step - decay
