"""The size of each method's state, and the least time of a step, for large transformers.

    python -m examples.state_table

prints the tables of examples/README.md, in Markdown. The weights have the shapes of Llama 3's, and
each is sharded along its largest axis. Nothing of that size is ever allocated. A step reads
gradient, weight and state, and writes weight and state. No step is faster than memory can move
these; communication and arithmetic come on top. For your own model, call `gdmethods.state_bytes`.

Source of the shapes: A. Grattafiori et al., The Llama 3 herd of models, arXiv:2407.21783, 2024,
and for 1 B Meta's model card of Llama 3.2.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gdmethods
from gdmethods._programs.options import Parser, positive_float

METHODS: Mapping[str, optax.GradientTransformation] = {
    "`sgd`": gdmethods.sgd(1.0),
    "`momentum`, `nesterov`": gdmethods.momentum(1.0),
    "`adaptive_gains`": gdmethods.adaptive_gains(1.0),
    "`adaptive_gains`, μ = 0.9": gdmethods.adaptive_gains(1.0, 0.9),
    "`adagrad`": gdmethods.adagrad(1.0),
    "`adadelta`": gdmethods.adadelta(1.0),
    "`rprop`": gdmethods.rprop(),
    "`rmsprop`": gdmethods.rmsprop(1.0),
    "`rmsprop`, μ = 0.9": gdmethods.rmsprop(1.0, momentum=0.9),
    "`adam`": gdmethods.adam(1.0),
    "`adam`, bfloat16 state": gdmethods.adam(1.0, accumulator_dtype=jnp.bfloat16),
    "`adam`, 8-bit state": gdmethods.adam(1.0, accumulator_dtype="8bit"),
}
NARROW = {  # of bfloat16 weights
    "`adam`, float32 master": gdmethods.with_float32_master(gdmethods.adam(1.0)),
    "… and bfloat16 state": gdmethods.with_float32_master(
        gdmethods.adam(1.0, accumulator_dtype=jnp.bfloat16)
    ),
    "`adam`, all in bfloat16": gdmethods.with_stochastic_rounding(
        gdmethods.adam(1.0, accumulator_dtype=jnp.bfloat16)
    ),
    "… but 8-bit state": gdmethods.with_stochastic_rounding(
        gdmethods.adam(1.0, accumulator_dtype="8bit")
    ),
}
DEVICES = (1, 8, 64)


@dataclasses.dataclass(frozen=True)
class Transformer:
    """The sizes of a decoder with grouped-query attention and a gated feed-forward layer."""

    layers: int
    width: int
    hidden: int
    heads: int
    key_value_heads: int
    tied: bool
    vocabulary: int = 128_256

    def params(self, dtype: jnp.dtype) -> dict[str, jax.ShapeDtypeStruct]:
        """Its weights, stacked over all layers."""
        narrow = self.width // self.heads * self.key_value_heads
        shapes = {
            "embedding": (self.vocabulary, self.width),
            "query": (self.layers, self.width, self.width),
            "key": (self.layers, self.width, narrow),
            "value": (self.layers, self.width, narrow),
            "output": (self.layers, self.width, self.width),
            "gate": (self.layers, self.width, self.hidden),
            "up": (self.layers, self.width, self.hidden),
            "down": (self.layers, self.hidden, self.width),
            "attention_norm": (self.layers, self.width),
            "feed_forward_norm": (self.layers, self.width),
            "last_norm": (self.width,),
        }
        if not self.tied:
            shapes["head"] = (self.width, self.vocabulary)
        return {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes.items()}


MODELS = {
    "1 B": Transformer(16, 2048, 8192, 32, 8, tied=True),
    "8 B": Transformer(32, 4096, 14336, 32, 8, tied=False),
    "70 B": Transformer(80, 8192, 28672, 64, 8, tied=False),
}


def cut(leaf: jax.ShapeDtypeStruct, devices: int) -> NamedSharding:
    """A sharding along the largest axis."""
    axis = max(range(len(leaf.shape)), key=leaf.shape.__getitem__)
    mesh = AbstractMesh((devices,), ("devices",))
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "devices"))


def cells(
    tx: optax.GradientTransformation, model: Transformer, dtype: jnp.dtype, bandwidth: float
) -> Iterator[str]:
    """For each number of devices: the GB of state on each, and the ms to move a step's bytes."""
    params = model.params(dtype)
    for devices in DEVICES:
        shardings = jax.tree.map(lambda leaf, devices=devices: cut(leaf, devices), params)
        state = gdmethods.state_bytes(tx, params, shardings)
        weights = sum(
            math.prod(shardings[name].shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for name, leaf in params.items()
        )
        seconds = (3 * weights + 2 * state) / bandwidth
        yield f"{_digits(state / 1e9)} · {_digits(seconds * 1e3)}"


def _digits(x: float) -> str:
    """x with three digits; nothing below a millionth is shown."""
    return f"{round(x, 6):#.3g}".rstrip(".")


def table(name: str, dtype: jnp.dtype, bandwidth: float) -> str:
    """A model's table in Markdown: a row for each method, a column for each number of devices."""
    columns = ["1 device", *(f"{devices} devices" for devices in DEVICES[1:])]
    methods = METHODS if dtype == jnp.float32 else {**METHODS, **NARROW}
    rows = [
        [f"{name}, {dtype.name}", *columns],
        *([label, *cells(tx, MODELS[name], dtype, bandwidth)] for label, tx in methods.items()),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    padded = (map(str.ljust, row, widths) for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser("examples.state_table", "State and step time of large models, on paper.")
    parser.add_argument(
        "--bandwidth",
        metavar="TB/S",
        type=positive_float,
        default=3.35,
        help="of a device's memory (%(default)s, an H100's)",
    )
    bandwidth = parser.parse_args(arguments).bandwidth * 1e12
    tables = [
        table(name, jnp.dtype(dtype), bandwidth)
        for dtype in ("float32", "bfloat16")
        for name in MODELS
    ]
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
