"""Your own rule: NAdam from its paper, with everything that the methods of gdmethods have.

    python -m examples.own_rule

The rule is written once, for one weight. The program checks it against the laws of an Optax
transformation and against a NumPy loop in float64, stores it in 4 bytes a weight, compiles it for
two chips that need not be here (with the extra accelerators), and compares it with Adam on MNIST.

Source: T. Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gdmethods
from examples.mnist.data import Dataset, load
from examples.mnist.problems import problem
from gdmethods import rules
from gdmethods._programs.options import Parser, positive
from gdmethods._programs.progress import Console, Progress
from gdmethods.rules import Count, Decay, Eps, LeafState, Rate, Signed, Square, StepState
from gdmethods.study import Study, study
from gdmethods.testing import check_contract


class NAdamState(NamedTuple):
    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    mu: Signed
    nu: Square


def corrections(s: StepState, b1: float, b2: float) -> None:
    """The numbers that are the same for all weights, once a step."""
    s.of_mu = rules.one_minus_power(b1, s.count)
    s.of_next_mu = rules.one_minus_power(b1, s.count + 1)
    s.of_nu = rules.one_minus_power(b2, s.count)


@rules.optimizer(NAdamState, once=corrections, eight_bits=["mu", "nu"])
def nadam(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Eps = 1e-8,
    *,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Adam that looks ahead along its momentum."""
    g = rules.squarable(g, s.nu)
    s.nu = b2 * s.nu + (1 - b2) * rules.square(g)
    s.mu = b1 * s.mu + (1 - b1) * g
    ahead = b1 * s.mu / s.of_next_mu + (1 - b1) * g / s.of_mu
    return -learning_rate * ahead / (jnp.sqrt(s.nu / s.of_nu) + eps)


def laws_kept(accumulator_dtype: Any) -> int:
    """How many laws of an Optax transformation hold; narrow state is compared with float32."""

    def make() -> optax.GradientTransformationExtraArgs:
        return nadam(0.1, accumulator_dtype=accumulator_dtype)

    if accumulator_dtype is None:
        report = check_contract(make)
    else:
        report = check_contract(
            make, claims=["rounds_stochastically"], reference=lambda: nadam(0.1)
        )
    report.require()
    return len(report.kept)


def in_four_bytes(learning_rate: float) -> optax.GradientTransformationExtraArgs:
    """NAdam for bfloat16 weights: 2 bytes each, and 2 of state."""
    return gdmethods.with_stochastic_rounding(nadam(learning_rate, accumulator_dtype="8bit"))


def difference_from_numpy(steps: int = 100) -> float:
    """The largest difference of weights between the paper's loop and `nadam`, both in float64."""
    gradients = np.random.default_rng(0).normal(size=(steps, 50))
    w, m, v = np.ones(50), np.zeros(50), np.zeros(50)
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        ahead = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        w = w - 0.01 * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    with jax.enable_x64(True):
        tx, ours = nadam(0.01), jnp.ones(50)
        state, step = tx.init(ours), jax.jit(tx.update)
        for g in jnp.asarray(gradients):
            updates, state = step(g, state, ours)
            ours = optax.apply_updates(ours, updates)
        return float(np.abs(np.asarray(ours) - w).max())


def step_on(device: str) -> str:
    """The bytes that a step moves on a device, with 4 bytes a weight."""
    w = jax.ShapeDtypeStruct((2**13, 2**13), jnp.bfloat16)
    try:
        step = gdmethods.step_bytes(in_four_bytes(0.01), w, device=device)
    except ImportError:
        return 'its compiler is missing; pip install "gdmethods[accelerators]"'
    moved, least = step.moved / 2**26, step.least / 2**26
    return f"kernels {step.kernels}, bytes a weight moved {moved:.0f}, at least {least:.0f}"


def compared(data: Dataset, passes: int, seeds: int) -> Iterator[Study]:
    """Adam and NAdam with float32 weights, and then NAdam in 4 bytes."""
    rule, rate = "examples.own_rule", "learning_rate=0.001"
    wide = problem("zeiler", data)
    narrow = dataclasses.replace(
        wide,
        name="zeiler in bfloat16",
        init=lambda key: jax.tree.map(lambda w: w.astype(jnp.bfloat16), wide.init(key)),
    )
    for network, methods in (
        (wide, f"adam({rate}), {rule}:nadam({rate})"),
        (narrow, f"{rule}:in_four_bytes({rate})"),
    ):
        yield study(network, methods=methods, passes=passes, seeds=seeds)


FORMATS: dict[str, Any] = {"float32": None, "bfloat16": jnp.bfloat16, "8 bits": "8bit"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser("examples.own_rule", "NAdam as your own rule, checked and trained.")
    parser.add_argument(
        "--passes", metavar="N", type=positive, default=2, help="over MNIST (%(default)s)"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=positive, default=3, help="to average over (%(default)s)"
    )
    options = parser.parse_args(arguments)

    data, console = load(), Console(soft_wrap=True)
    with Progress(len(FORMATS)) as progress:
        for name, dtype in FORMATS.items():
            progress.tell(f"laws in {name}")
            kept = laws_kept(dtype)
            console.print(f"state in {name}: {kept} laws kept, none broken")
            progress.tell(name, done=1)
    console.print(f"largest difference from NumPy: {difference_from_numpy():.0e}")
    for device in ("v5e", "h100"):
        console.print(f"{device}: {step_on(device)}", markup=False)
    for done in compared(data, options.passes, options.seeds):
        for row in done.tables["outcomes"]:
            state = row["state_bytes_per_weight"]
            loss = f"{row['loss']:.4f} ± {row['loss_deviation']:.4f}"
            console.print(f"{row['label']}, state of {state:.0f} bytes: training loss {loss}")
        console.print(str(done), soft_wrap=False)


if __name__ == "__main__":
    main()
