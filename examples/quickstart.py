"""Fit a sine with clipped gradients and Adam, in a Flax NNX training step.

$ python -m examples.quickstart
step    0: loss 0.4497
step  200: loss 0.0529
step  400: loss 0.0170
step  600: loss 0.0059
step  800: loss 0.0026
step 1000: loss 0.0012
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import gdmethods
from examples.programs import take_no_arguments

take_no_arguments("quickstart", __doc__)


def loss(model: nnx.Sequential, x: jax.Array) -> jax.Array:
    return jnp.mean((model(x) - jnp.sin(x)) ** 2)


@nnx.jit
def train_step(
    model: nnx.Sequential, optimizer: "nnx.Optimizer[nnx.Sequential]", x: jax.Array
) -> None:
    optimizer.update(model, nnx.grad(loss)(model, x))


rngs = nnx.Rngs(1)
model = nnx.Sequential(nnx.Linear(1, 64, rngs=rngs), nnx.tanh, nnx.Linear(64, 1, rngs=rngs))
tx = optax.chain(optax.clip_by_global_norm(1.0), gdmethods.adam(1e-3))
optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

# On a symmetric interval a gradient would be 0 up to rounding, and would still move its bias.
x = jnp.linspace(-2, 4, 100)[:, None]
for step in range(1001):
    if step % 200 == 0:
        print(f"step {step:4}: loss {loss(model, x):.4f}")
    train_step(model, optimizer, x)
