"""A method for each layer, one layer frozen, and gradients averaged over small batches.

`optax.partition` gives the layers their methods by name. `optax.masked` alone would not freeze a
layer: it returns the gradients of the layers that it leaves out, and these would be added to the
weights. Hence the label "frozen" with `optax.set_to_zero`. `optax.MultiSteps` passes on the mean
of four gradients.

$ python -m examples.layers
step   0: loss 1.5701
step 400: loss 0.0108
step 800: loss 0.0046
the frozen layer moved by 0.0
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import gdmethods
from examples.programs import take_no_arguments

take_no_arguments("layers", __doc__)

LAYERS = {
    "first": optax.set_to_zero(),
    "hidden": gdmethods.adam(1e-3),
    "output": gdmethods.nesterov(optax.cosine_decay_schedule(0.02, 200)),
}


def network(params: Any, x: jax.Array) -> jax.Array:
    for name in ("first", "hidden"):
        x = jnp.tanh(x @ params[name])
    output: jax.Array = x @ params["output"]
    return output


def loss(params: Any, x: jax.Array) -> jax.Array:
    return jnp.mean((network(params, x) - jnp.sin(x)) ** 2)


@jax.jit
def train_step(params: Any, state: Any, x: jax.Array) -> tuple[Any, Any]:
    updates, state = tx.update(jax.grad(loss)(params, x), state, params)
    return optax.apply_updates(params, updates), state


tx = optax.MultiSteps(optax.partition(LAYERS, {name: name for name in LAYERS}), 4)
shapes = {"first": (1, 64), "hidden": (64, 64), "output": (64, 1)}
start = {
    name: jax.random.normal(jax.random.key(size), (size, out)) / size**0.5
    for name, (size, out) in shapes.items()
}

params, state = start, tx.init(start)
x = jnp.linspace(-3, 3, 100)[:, None]
for step in range(801):
    if step % 400 == 0:
        weights = gdmethods.nesterov_eval_params(state, params)
        print(f"step {step:3}: loss {loss(weights, x):.4f}")
    params, state = train_step(params, state, x[step % 4 :: 4])
print(f"the frozen layer moved by {jnp.abs(params['first'] - start['first']).max()}")
