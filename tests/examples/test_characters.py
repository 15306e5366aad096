"""The Transformer on Alice: what it sees, how its state changes format, what is shown."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pictures import colors_in

from examples import characters
from examples.characters import CONTEXT, FLOAT32, FOUR_BYTES, RUNS, Format, Text, Transformer

PICTURE = Path(characters.__file__).parent / "pictures" / "characters.png"
NEAREST = RUNS["nearest/float32"]


@pytest.fixture(scope="module")
def text() -> Text:
    return Text.load()


def test_the_last_tenth_is_kept_for_the_test(text: Text) -> None:
    whole = characters.TEXT.read_text("ascii")
    known = sorted(set(whole))
    train = "".join(known[i] for i in np.asarray(text.train))
    test = "".join(known[i] for i in np.asarray(text.test).ravel())
    assert whole.startswith(train + test)
    assert len(train) == len(whole) * 9 // 10
    assert len(whole) - len(train + test) <= CONTEXT
    assert text.characters == len(known) == 70


@pytest.mark.proof
def test_a_prediction_sees_what_is_before_it_alone(text: Text) -> None:
    model = Transformer(text.characters, rngs=nnx.Rngs(0))
    piece = text.test[:1, :8]
    changed = piece.at[0, 5].add(1)
    before, after = model(piece), model(changed)
    np.testing.assert_array_equal(before[0, :5], after[0, :5])
    assert (jnp.abs(before - after)[0, 5:].max(axis=-1) > 1e-3).all()


@pytest.mark.proof
def test_the_cost_of_knowing_nothing_is_the_logarithm_of_the_characters(text: Text) -> None:
    graphdef, params = nnx.split(Transformer(text.characters, rngs=nnx.Rngs(0)))
    nothing = jax.tree.map(lambda w: jnp.zeros_like(w, jnp.bfloat16), params)
    cost = characters.cost(nothing, graphdef, text.test[:2, :8])
    assert float(cost) == pytest.approx(math.log(70), rel=1e-6)


@pytest.mark.proof
def test_a_run_goes_on_from_half_way_in_another_format(text: Text) -> None:
    """To the bit where the format is the same."""

    def cost(*formats: Format) -> float:
        return characters.trained(formats, text, steps=40, seed=0)

    whole = cost(FLOAT32)
    assert cost(FLOAT32, FLOAT32) == whole
    assert whole < 3.2
    for formats in ([FLOAT32, FOUR_BYTES], [FOUR_BYTES, FLOAT32], NEAREST):
        changed = cost(*formats)
        assert changed != whole
        assert changed == pytest.approx(whole, abs=0.03)


@pytest.mark.proof
def test_the_program_shows_bytes_costs_and_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of trainings whose cost is the seed, and for weights to nearest 0.1 ± 0.01 more."""

    def trained(formats: Sequence[Format], text: Text, *, seed: int, **others: Any) -> float:
        return seed + (0.09 + 0.02 * (seed == 8) if formats == NEAREST else 0.0)

    monkeypatch.setattr(characters, "trained", trained)
    options = ["--seeds", "2", "--first-seed", "7", "--out", str(tmp_path)]
    characters.main(["--runs", ",".join(RUNS), *options])
    rows = (re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines())
    printed = {row[0]: row[1:] for row in rows if row[0] in RUNS}
    sizes = {
        "float32/float32": "12.0",
        "float32/8bit": "6.0",
        "master/8bit": "6.0",
        "stochastic/bfloat16": "6.0",
        "stochastic/8bit": "4.0",
        "embeddings-in-float32": "4.5",  # 134 × 64 of 113,862 weights have 6 bytes more
        "4-bytes-from-half-way": "12.0 → 4.0",
        "float32-from-half-way": "4.0 → 12.0",
        "nearest/float32": "10.0",
    }
    for name, size in sizes.items():
        cost, difference = ("7.500 ± 0.500", "+0.0000 ± 0.0000")
        if name == "nearest/float32":
            cost, difference = "7.600 ± 0.510", "+0.1000 ± 0.0100"
        expected = [size, cost] if name == "float32/float32" else [size, cost, difference]
        assert printed[name] == expected
    colors = {characters.SEED_COLOR, characters.MEAN_COLOR}
    assert colors_in(tmp_path / "characters.png", colors) == colors


@pytest.mark.parametrize(
    "arguments", [["--runs", "float16"], ["--steps", "1"], ["--first-seed", "-1"]]
)
def test_options_that_are_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        characters.main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m examples.characters: ")


def test_the_gallery_has_seeds_and_means() -> None:
    colors = {characters.SEED_COLOR, characters.MEAN_COLOR}
    assert colors_in(PICTURE, colors) == colors
