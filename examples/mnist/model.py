"""The network that all methods train."""

import functools

import jax
from flax import nnx


class MLP(nnx.Module):
    """Zeiler's network for MNIST: 500 and 300 hidden units of tanh, 784-500-300-10.

    The weights start from Glorot's uniform distribution, which keeps the variance of signals and
    gradients alike through layers of tanh; the biases start at 0. Returns logits.

    Sources: M. D. Zeiler, ADADELTA: an adaptive learning rate method, 2012, section 4.1;
    X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010.
    """

    def __init__(self, pixels: int, classes: int, *, rngs: nnx.Rngs) -> None:
        linear = functools.partial(
            nnx.Linear, kernel_init=nnx.initializers.glorot_uniform(), rngs=rngs
        )
        self.hidden_1 = linear(pixels, 500)
        self.hidden_2 = linear(500, 300)
        self.output = linear(300, classes)

    def __call__(self, images: jax.Array) -> jax.Array:
        hidden = nnx.tanh(self.hidden_1(images))
        hidden = nnx.tanh(self.hidden_2(hidden))
        return self.output(hidden)
