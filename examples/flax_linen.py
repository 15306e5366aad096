"""Flax Linen: a `TrainState` that passes the loss to the optimizer, for Rprop's "irprop+".

`TrainState.apply_gradients` does not pass the loss on, so this subclass does. Methods that do not
need the loss ignore it. The parameters that `nesterov` trains are its look-ahead points;
`nesterov_eval_params` returns the weights behind them.

$ python -m examples.flax_linen
irprop+, after 50 steps: loss 0.0034
nesterov, after 20 steps: loss 0.0869, at the look-ahead 0.0852
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state

import gdmethods
from examples.programs import take_no_arguments

take_no_arguments("flax_linen", __doc__)

# On a symmetric interval a gradient would be 0 up to rounding, and would still move its bias.
X = jnp.linspace(-2, 4, 100)[:, None]
NETWORK = nn.Sequential([nn.Dense(64), nn.tanh, nn.Dense(1)])


class TrainState(train_state.TrainState):
    def apply_gradients(self, *, grads: Any, **extra_args: Any) -> "TrainState":
        updates, opt_state = self.tx.update(grads, self.opt_state, self.params, **extra_args)
        params = optax.apply_updates(self.params, updates)
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state)


def loss(params: Any) -> jax.Array:
    outputs: Any = NETWORK.apply(params, X)
    return jnp.mean((outputs - jnp.sin(X)) ** 2)


@jax.jit
def train_step(state: TrainState) -> TrainState:
    value, gradients = jax.value_and_grad(loss)(state.params)
    following: TrainState = state.apply_gradients(grads=gradients, value=value)
    return following


def train(tx: optax.GradientTransformationExtraArgs, steps: int) -> TrainState:
    params = NETWORK.init(jax.random.key(1), X)
    state: TrainState = TrainState.create(apply_fn=NETWORK.apply, params=params, tx=tx)
    for _ in range(steps):
        state = train_step(state)
    return state


state = train(gdmethods.rprop(0.01, variant="irprop+"), steps=50)
print(f"irprop+, after 50 steps: loss {loss(state.params):.4f}")

state = train(gdmethods.nesterov(0.01, momentum=0.95), steps=20)
weights = gdmethods.nesterov_eval_params(state.opt_state, state.params)
print(
    f"nesterov, after 20 steps: loss {loss(weights):.4f}, "
    f"at the look-ahead {loss(state.params):.4f}"
)
