"""The tables of examples/README.md are those that the program computes."""

import math
from pathlib import Path

import jax.numpy as jnp
import pytest

from examples.state_table import MODELS, main

README = Path(__file__).parents[2] / "examples" / "README.md"


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def row(text: str, first_cell: str) -> list[str]:
    (only,) = [cells for cells in rows(text) if cells[0] == first_cell]
    return only


def test_the_readme_has_what_the_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    printed = capsys.readouterr().out
    assert len(rows(printed)) == 2 * 3 * (2 + 12) + 3 * 4
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.strip() in README.read_text()


def test_the_shapes_are_those_of_the_published_models() -> None:
    """By their numbers of weights."""
    sizes = [
        sum(math.prod(leaf.shape) for leaf in model.params(jnp.dtype("float32")).values())
        for model in MODELS.values()
    ]
    assert sizes == [1_235_814_400, 8_030_261_248, 70_553_706_496]


def test_cells_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Of Adam: 8 bytes of state a weight; a step moves 3 × 4 of weights and 2 × 8 of state."""
    main(["--bandwidth", "1"])
    tables = capsys.readouterr().out.split("\n\n")
    state, weights = 8 * 8.030261248, 4 * 8.030261248
    cells = row(tables[1], "`adam`")[1:]
    for devices, cell in zip((1, 8, 64), cells, strict=True):
        gigabytes, milliseconds = map(float, cell.split(" · "))
        assert gigabytes == pytest.approx(state / devices, rel=5e-3)
        assert milliseconds == pytest.approx((3 * weights + 2 * state) / devices, rel=5e-3)
    narrow = row(tables[4], "`adam`")[1]
    assert float(narrow.split(" · ")[1]) == pytest.approx(1.5 * weights + 2 * state, rel=5e-3)
    master = row(tables[4], "`adam`, float32 master")[1]  # 8 + 2 bytes of state a weight
    assert float(master.split(" · ")[1]) == pytest.approx(26 / 4 * weights, rel=5e-3)
    of_70_b = row(tables[5], "… but 8-bit state")[1]  # 2 bytes of state a weight, and 2 of weight
    gigabytes, milliseconds = map(float, of_70_b.split(" · "))
    assert gigabytes == pytest.approx(2 * 70.553706496, rel=5e-3)
    assert milliseconds == pytest.approx(10 * 70.553706496, rel=5e-3)


@pytest.mark.parametrize("bandwidth", ["0", "-1", "nan"])
def test_a_bandwidth_is_positive(bandwidth: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--bandwidth", bandwidth])
    assert f"argument --bandwidth: {bandwidth} is not above 0" in capsys.readouterr().err
