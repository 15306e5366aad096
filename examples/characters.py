"""A character-level Transformer in 4 to 12 bytes a weight, and runs that change half way.

    python -m examples.characters

trains a network of two layers with Adam on nine tenths of "Alice's Adventures in Wonderland"
(Lewis Carroll, 1865; in the public domain). It prints the cost on the last tenth, compares it with
float32 from the same seeds, and draws the differences. `--runs` has more formats, runs that change
their format with `gdmethods.convert_state`, and embeddings whose state stays in float32.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import DTypeLike
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import gdmethods
from examples.bfloat16 import Wrap, beside, mean_and_error, plain
from gdmethods._programs.files import whole
from gdmethods._programs.options import Parser, positive, seed, some_of, whole_number
from gdmethods._programs.progress import Console, Progress

TEXT = Path(__file__).with_name("alice.txt")
CONTEXT = 64  # characters that a prediction sees at most
BATCH_SIZE = 32
WIDTH, HEADS, LAYERS = 64, 4, 2
RATE, WARM_UP = 3e-3, 0.07  # a cosine to 0 after that part of the steps
AT_ONCE = 100  # steps in one call
SEED_COLOR, MEAN_COLOR = "#56B4E9", "#D55E00"


class Block(nnx.Module):
    """Attention to earlier characters, and a layer of four times the width."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.attention_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.up = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs)
        self.down = nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        causal = nnx.make_causal_mask(x[..., 0])
        x = x + self.attention(self.attention_norm(x), mask=causal)
        return x + self.down(nnx.gelu(self.up(self.norm(x))))


class Transformer(nnx.Module):
    """From each character, the logits of the next one."""

    def __init__(self, characters: int, *, rngs: nnx.Rngs) -> None:
        self.characters = nnx.Embed(characters, WIDTH, rngs=rngs)
        self.places = nnx.Embed(CONTEXT, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(LAYERS)])
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.next = nnx.Linear(WIDTH, characters, rngs=rngs)

    def __call__(self, text: jax.Array) -> jax.Array:
        x = self.characters(text) + self.places(jnp.arange(text.shape[-1])[None])
        for block in self.blocks:
            x = block(x)
        return self.next(self.norm(x))


@dataclasses.dataclass(frozen=True)
class Format:
    """The formats of the weights and of Adam's accumulators.

    Attributes:
      weights: the dtype of the parameters.
      accumulators: the accumulator_dtype.
      wrap: the wrapper around Adam.
      embeddings: the accumulator_dtype of the embeddings, if it differs.
    """

    weights: DTypeLike
    accumulators: DTypeLike
    wrap: Wrap = gdmethods.with_stochastic_rounding  # which leaves float32 weights alone
    embeddings: DTypeLike | None = None

    def adam(self, rate: optax.Schedule) -> optax.GradientTransformationExtraArgs:
        tx = gdmethods.adam(rate, accumulator_dtype=self.accumulators)
        if self.embeddings is not None:
            of_embeddings = gdmethods.adam(rate, accumulator_dtype=self.embeddings)
            tx = optax.partition({True: of_embeddings, False: tx}, _is_embedding)
        return self.wrap(tx)


def _is_embedding(params: Any) -> Any:
    return jax.tree.map_with_path(
        lambda path, _: "embedding" in jax.tree_util.keystr(path), params
    )


FLOAT32, FOUR_BYTES = Format(jnp.float32, jnp.float32), Format(jnp.bfloat16, "8bit")

REFERENCE = "float32/float32"
RUNS: Mapping[str, Sequence[Format]] = {
    REFERENCE: [FLOAT32],
    "float32/8bit": [Format(jnp.float32, "8bit")],
    "master/8bit": [Format(jnp.bfloat16, "8bit", gdmethods.with_float32_master)],
    "stochastic/bfloat16": [Format(jnp.bfloat16, jnp.bfloat16)],
    "stochastic/8bit": [FOUR_BYTES],
    "embeddings-in-float32": [Format(jnp.bfloat16, "8bit", embeddings=jnp.float32)],
    "4-bytes-from-half-way": [FLOAT32, FOUR_BYTES],
    "float32-from-half-way": [FOUR_BYTES, FLOAT32],
    "nearest/float32": [Format(jnp.bfloat16, jnp.float32, plain)],
}
"""By weights and state; the formats of equally long parts of the training."""


@dataclasses.dataclass(frozen=True)
class Text:
    """Numbers of characters.

    Attributes:
      train: its first nine tenths.
      test: the last tenth, cut into pieces that are predicted one by one.
      characters: how many there are.
    """

    train: jax.Array
    test: jax.Array
    characters: int

    @classmethod
    def load(cls) -> "Text":
        known, text = np.unique(list(TEXT.read_text("ascii")), return_inverse=True)
        train, test = np.split(text, [len(text) * 9 // 10])
        pieces = test[: len(test) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
        return cls(jnp.asarray(train), jnp.asarray(pieces), len(known))


def trained(
    formats: Sequence[Format],
    text: Text,
    *,
    steps: int,
    seed: int,
    passed: Callable[..., None] = lambda *, done: None,
) -> float:
    """The cost of the test text after so many steps; `passed` is called with the steps `done`."""
    graphdef, params = nnx.split(Transformer(text.characters, rngs=nnx.Rngs(seed)))
    key, state = jax.random.key(seed), None
    parts = np.array_split(np.arange(steps), len(formats))
    for format, part in zip(formats, parts, strict=True):
        tx = _adam(format, steps)
        params = jax.tree.map(lambda w, to=format.weights: w.astype(to), params)
        state = tx.init(params) if state is None else gdmethods.convert_state(tx, params, state)
        for some in np.split(part, range(AT_ONCE, len(part), AT_ONCE)):
            keys = jax.vmap(functools.partial(jax.random.fold_in, key))(some)
            params, state = jax.block_until_ready(
                _descend(graphdef, tx, text.train, params, state, keys)
            )
            passed(done=len(some))
    return float(cost(params, graphdef, text.test))


@functools.cache  # so that all seeds share a compilation
def _adam(format: Format, steps: int) -> optax.GradientTransformationExtraArgs:
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, round(WARM_UP * steps), steps)
    return format.adam(rate)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _descend(
    graphdef: nnx.GraphDef[Transformer],
    tx: optax.GradientTransformationExtraArgs,
    text: jax.Array,
    params: Any,
    state: Any,
    keys: jax.Array,
) -> tuple[Any, Any]:
    """One step for each key; the key draws the minibatch."""

    def step(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        params, state = carry
        starts = jax.random.randint(key, (BATCH_SIZE, 1), 0, len(text) - CONTEXT)
        pieces = text[starts + jnp.arange(CONTEXT + 1)[None]]
        updates, state = tx.update(jax.grad(cost)(params, graphdef, pieces), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, state), keys)[0]


@functools.partial(jax.jit, static_argnums=1)
def cost(params: Any, graphdef: nnx.GraphDef[Transformer], pieces: jax.Array) -> jax.Array:
    """The mean cross-entropy of all characters but the first of a piece; signals are float32."""
    wide = jax.tree.map(lambda w: w.astype(jnp.float32), params)
    logits = nnx.merge(graphdef, wide)(pieces[:, :-1])
    costs: jax.Array = optax.softmax_cross_entropy_with_integer_labels(logits, pieces[:, 1:])
    return costs.mean()


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one run.

    Attributes:
      sizes: bytes of a weight and its state, in each part.
      costs: the costs of the test text, for each seed.
    """

    sizes: Sequence[float]
    costs: NDArray[np.float64]


def bytes_per_weight(format: Format, text: Text) -> float:
    model = nnx.eval_shape(lambda: Transformer(text.characters, rngs=nnx.Rngs(0)))
    params = jax.tree.map(
        lambda w: jax.ShapeDtypeStruct(w.shape, format.weights), nnx.state(model, nnx.Param)
    )
    weights = sum(math.prod(w.shape) for w in jax.tree.leaves(params))
    state = gdmethods.state_bytes(_adam(format, steps=1), params)
    return float(jnp.dtype(format.weights).itemsize + state / weights)


def table(results: Mapping[str, Result]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("weights/state", no_wrap=True)
    for title in ("bytes", "test cost", "beside float32"):
        table.add_column(title, justify="right", no_wrap=True)
    reference = results[REFERENCE].costs
    for name, of in results.items():
        table.add_row(
            name,
            " → ".join(f"{size:.1f}" for size in of.sizes),
            f"{of.costs.mean():.3f} ± {of.costs.std():.3f}",
            "" if name == REFERENCE else beside(of.costs, reference),
        )
    return table


def draw(results: Mapping[str, Result], picture: Path) -> None:
    """Each seed's difference from float32, and the mean with two standard errors."""
    reference = results[REFERENCE].costs
    differences = {name: of.costs - reference for name, of in results.items() if name != REFERENCE}
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(differences)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="0.8", zorder=0)
    for place, of_run in enumerate(differences.values()):
        axes.plot(of_run, np.full(len(of_run), place), "|", color=SEED_COLOR, markersize=10)
        mean, error = mean_and_error(of_run)
        axes.errorbar(mean, place, xerr=2 * error, fmt="o", capsize=4, color=MEAN_COLOR)
    axes.set_yticks(range(len(differences)), list(differences))
    axes.invert_yaxis()
    axes.set_xlabel("test cost less float32's: each seed, and the mean ± 2 standard errors")
    with whole(picture) as file:
        figure.savefig(file, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser("examples.characters", "A small Transformer in bytes a weight.")
    parser.add_argument(
        "--runs",
        metavar="NAME,…",
        type=some_of({name: name for name in RUNS}),
        default="stochastic/8bit,nearest/float32",
        help=f"to compare with {REFERENCE}, of {', '.join(RUNS)} (%(default)s)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=whole_number(2),
        default=1500,
        help="of training (%(default)s)",
    )
    parser.add_argument(
        "--seeds", metavar="N", type=positive, default=3, help="to average over (%(default)s)"
    )
    parser.add_argument(
        "--first-seed", metavar="N", type=seed, default=0, help="the first of them (%(default)s)"
    )
    parser.add_directory("--out", "results", "where to write characters.png")
    options = parser.parse_args(arguments)
    parser.make_directory("--out", options.out)

    text = Text.load()
    runs = {name: of for name, of in RUNS.items() if name in (REFERENCE, *options.runs)}
    results = {}
    with Progress(len(runs) * options.seeds * options.steps) as progress:
        for name, formats in runs.items():
            progress.tell(name)
            costs = [
                trained(
                    formats,
                    text,
                    steps=options.steps,
                    seed=each,
                    passed=functools.partial(progress.tell, name),
                )
                for each in range(options.first_seed, options.first_seed + options.seeds)
            ]
            sizes = [bytes_per_weight(format, text) for format in formats]
            results[name] = Result(sizes, np.array(costs))
    console = Console()
    console.print(table(results))
    draw(results, options.out / "characters.png")
    console.print(str(options.out / "characters.png"), soft_wrap=True)


if __name__ == "__main__":
    main()
