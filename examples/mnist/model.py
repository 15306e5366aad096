"""The networks that the methods train. Both return logits."""

import functools
from collections.abc import Callable, Sequence

import jax
from flax import nnx

_glorot_linear = functools.partial(nnx.Linear, kernel_init=nnx.initializers.glorot_uniform())


class MLP(nnx.Module):
    """Layers of hidden units; by default Zeiler's network for MNIST, 784-500-300-10 with tanh.

    The weights start from Glorot's uniform distribution, which keeps the variance of signals and
    gradients alike through layers of tanh; the biases start at 0. In training, which means with a
    `key`, each hidden unit is left out with the probability `dropout`.

    Sources: M. D. Zeiler, ADADELTA: an adaptive learning rate method, 2012, section 4.1;
    X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, AISTATS 2010.
    """

    def __init__(
        self,
        pixels: int,
        classes: int,
        hidden: Sequence[int] = (500, 300),
        activation: Callable[[jax.Array], jax.Array] = nnx.tanh,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        widths = (pixels, *hidden)
        self.hidden = nnx.List(
            _glorot_linear(inputs, outputs, rngs=rngs)
            for inputs, outputs in zip(widths, hidden, strict=False)
        )
        self.output = _glorot_linear(widths[-1], classes, rngs=rngs)
        self.activation = activation
        self.dropout = nnx.Dropout(dropout)

    def __call__(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        rngs = None if key is None else nnx.Rngs(key)
        for layer in self.hidden:
            images = self.activation(layer(images))
            images = self.dropout(images, deterministic=rngs is None, rngs=rngs)
        return self.output(images)


class ConvNet(nnx.Module):
    """Two convolutions of 3×3 in strides of 2 (8 and 16 channels, ReLU), and a linear layer."""

    def __init__(self, shape: tuple[int, int], classes: int, *, rngs: nnx.Rngs) -> None:
        self.shape = shape
        self.convolutions = nnx.List(
            nnx.Conv(inputs, outputs, (3, 3), strides=2, rngs=rngs)
            for inputs, outputs in ((1, 8), (8, 16))
        )
        height, width = (-(-pixels // 4) for pixels in shape)
        self.output = _glorot_linear(height * width * 16, classes, rngs=rngs)

    def __call__(self, images: jax.Array, key: jax.Array | None = None) -> jax.Array:
        signals = images.reshape(-1, *self.shape, 1)
        for convolution in self.convolutions:
            signals = nnx.relu(convolution(signals))
        return self.output(signals.reshape(len(images), -1))
