"""Flax NNX: the loss for Rprop's "irprop+", and the weights of Nesterov's method.

`nnx.Optimizer.update` passes its keywords on to the transformation. "irprop+" compares the loss
with the last one; `nesterov` ignores it, so one training step serves both. The model that
`nesterov` trains holds its look-ahead points; `nesterov_eval_params` returns the weights behind
them.

$ python -m examples.flax_nnx
irprop+, after 50 steps: loss 0.0149
nesterov, after 20 steps: loss 0.1010, at the look-ahead 0.0980
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import gdmethods
from examples.programs import take_no_arguments

take_no_arguments("flax_nnx", __doc__)

# On a symmetric interval a gradient would be 0 up to rounding, and would still move its bias.
X = jnp.linspace(-2, 4, 100)[:, None]


def loss(model: nnx.Sequential) -> jax.Array:
    return jnp.mean((model(X) - jnp.sin(X)) ** 2)


@nnx.jit
def train_step(model: nnx.Sequential, optimizer: "nnx.Optimizer[nnx.Sequential]") -> None:
    value, gradients = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradients, value=value)


def train(
    tx: optax.GradientTransformationExtraArgs, steps: int
) -> "tuple[nnx.Sequential, nnx.Optimizer[nnx.Sequential]]":
    rngs = nnx.Rngs(1)
    model = nnx.Sequential(nnx.Linear(1, 64, rngs=rngs), nnx.tanh, nnx.Linear(64, 1, rngs=rngs))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for _ in range(steps):
        train_step(model, optimizer)
    return model, optimizer


model, _ = train(gdmethods.rprop(0.01, variant="irprop+"), steps=50)
print(f"irprop+, after 50 steps: loss {loss(model):.4f}")

ahead, optimizer = train(gdmethods.nesterov(0.01, momentum=0.95), steps=20)
weights = gdmethods.nesterov_eval_params(optimizer.opt_state, nnx.state(ahead, nnx.Param))
model = nnx.merge(nnx.graphdef(ahead), weights)
print(f"nesterov, after 20 steps: loss {loss(model):.4f}, at the look-ahead {loss(ahead):.4f}")
