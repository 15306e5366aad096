"""Watch gains and effective learning rates, and change the rate during training.

`optax.snapshot` keeps the norm of the updates at its place in a chain. `optax.tree.get` reads the
fields of any state by name, and `optax.tree.set` writes them. `optax.inject_hyperparams` keeps the
learning rate in the state: set it between two steps, and nothing is compiled again.

$ python -m examples.monitoring
step  20: |gradient| 9.0e-03, |update| 7.0e-03, effective rate 0.78 flat, 0.25 steep
step  40: |gradient| 7.4e-03, |update| 8.7e-03, effective rate 1.18 flat, 0.15 steep
step  60: |gradient| 5.6e-03, |update| 8.8e-03, effective rate 0.79 flat, 0.03 steep
step  80: |gradient| 4.6e-03, |update| 4.6e-03, effective rate 0.99 flat, 0.02 steep
step 100: |gradient| 3.7e-03, |update| 4.4e-03, effective rate 1.19 flat, 0.02 steep
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import gdmethods
from examples.programs import take_no_arguments

take_no_arguments("monitoring", __doc__)

CURVATURE = {"flat": jnp.array(0.01), "steep": jnp.array(4.0)}


def loss(params: Any) -> jax.Array:
    """A ravine: a step that is short enough across it makes little way along it."""
    return sum((c * params[name] ** 2 / 2 for name, c in CURVATURE.items()), jnp.array(0.0))


@jax.jit
def train_step(params: Any, state: Any) -> tuple[Any, Any]:
    updates, state = tx.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


tx = optax.chain(
    optax.snapshot("gradient_norm", optax.tree.norm),
    optax.inject_hyperparams(gdmethods.adaptive_gains)(learning_rate=0.4),
    optax.snapshot("update_norm", optax.tree.norm),
)
params = {"flat": jnp.array(1.0), "steep": jnp.array(1.0)}
state = tx.init(params)
for step in range(1, 101):
    params, state = train_step(params, state)
    if step == 60:
        state = optax.tree.set(state, learning_rate=jnp.float32(0.2))
    if step % 20 == 0:
        gains, rate, *norms = (
            optax.tree.get(state, name)
            for name in ("gains", "learning_rate", "gradient_norm", "update_norm")
        )
        effective = optax.tree.scale(rate, gains)
        print(
            f"step {step:3}: |gradient| {norms[0]:.1e}, |update| {norms[1]:.1e}, effective rate",
            ", ".join(f"{value:.2f} {name}" for name, value in effective.items()),
        )
