"""`python -m benchmarks`, in small: that it measures everybody, and asserts no time."""

import io
import math

import jax
import jax.numpy as jnp
import pytest

import gdmethods
from benchmarks.__main__ import _tables, main
from benchmarks.layouts import LAYOUTS
from benchmarks.measurements import measurement, read
from benchmarks.peers import METHODS
from benchmarks.picture import ALLOWED, COLORS
from gdmethods._programs.progress import Console

LEAVES = [3, 20]
MEASURED = ("sgd", "adaptive_gains", "rprop", "adagrad")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bench")
    small = ["--weights", "4096", "--rounds", "2", "--leaves", *map(str, LEAVES)]
    layouts = ["1 large leaf", "16 leaves"]
    arguments = [*small, "--methods", *MEASURED, "--layouts", *layouts, "--out", str(directory)]
    assert main(arguments) == 0
    return directory


@pytest.mark.proof
@pytest.mark.parametrize("name", MEASURED)
def test_everybody_is_measured(out, name):
    rows = [m for m in read(out / "bench.csv") if m.method == name]
    libraries = {"gdmethods"} | ({"optax"} if METHODS[name].optax else set())
    for library in libraries:
        quantities = {(m.quantity, m.layout) for m in rows if m.library == library}
        stages = ("trace of update", "trace", "lower", "compile")
        assert quantities == {
            *((stage, f"{leaves:,} leaves") for stage in stages for leaves in LEAVES),
            *(("step", layout) for layout in ("1 large leaf", "16 leaves")),
            *((q, "1 large leaf") for q in ("state", "temporaries", "moved by a step")),
        }
    narrow = {"gdmethods bfloat16"} | ({"gdmethods 8 bits"} if name == "adagrad" else set())
    assert narrow == {m.library for m in rows if m.library.startswith("gdmethods ")}
    for library in narrow:
        measured = {(m.quantity, m.layout) for m in rows if m.library == library}
        assert measured == {of for of in quantities if of[0] not in stages}
    assert all(math.isfinite(m.median) and m.median >= 0 for m in rows)
    assert all(m.lower_quartile <= m.median <= m.upper_quartile for m in rows)
    assert all(m.median > 0 for m in rows if m.unit in ("ms", "s", "GB/s"))


@pytest.mark.proof
def test_bytes_a_weight(out):
    bytes_of = {
        (m.method, m.library, m.quantity): m.median
        for m in read(out / "bench.csv")
        if m.unit == "B a weight"
    }
    assert bytes_of["rprop", "gdmethods", "state"] == pytest.approx(5, abs=0.01)
    assert bytes_of["rprop", "optax", "state"] == pytest.approx(8, abs=0.01)
    assert bytes_of["rprop", "gdmethods", "moved by a step"] == pytest.approx(22, abs=0.01)
    narrow = "gdmethods bfloat16"
    assert bytes_of["rprop", narrow, "state"] == pytest.approx(3, abs=0.01)
    assert bytes_of["rprop", narrow, "moved by a step"] == pytest.approx(12, abs=0.02)
    assert bytes_of["adagrad", "gdmethods 8 bits", "state"] == pytest.approx(1, abs=0.01)
    assert bytes_of["adagrad", "gdmethods 8 bits", "moved by a step"] == pytest.approx(8, abs=0.02)
    assert bytes_of["sgd", "gdmethods", "moved by a step"] == pytest.approx(12, abs=0.01)


def test_8_bits_are_measured_where_all_of_the_state_is_in_them():
    w = jax.ShapeDtypeStruct((1000,), jnp.bfloat16)
    of_float32, of_8_bits = (
        {
            name: gdmethods.state_bytes(method.gdmethods(**dtype), w) // 1000
            for name, method in METHODS.items()
        }
        for dtype in ({}, {"accumulator_dtype": "8bit"})
    )
    whole = {name for name, state in of_8_bits.items() if 0 < state == of_float32[name] / 4}
    assert whole == {name for name, method in METHODS.items() if method.eight_bits}


def test_the_widest_table_fits_80_columns():
    """With all methods, PyTorch beside them, and times of five digits: no word is cut."""
    measurements = [
        measurement(name, library, "1 large leaf", "step", "ms", [12345.0, 12346.0])
        for name in METHODS
        for library in (*COLORS, ALLOWED)
    ]
    console = Console(width=80, file=io.StringIO())
    for table in _tables(measurements):
        console.print(table)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert all(name in shown for name in (*METHODS, "foreach", "fused", "allows"))


@pytest.mark.proof
def test_a_picture_is_drawn(out):
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_layouts_of_real_networks():
    """Their published sizes."""
    sizes = {
        name: [math.prod(s) for s in LAYOUTS[name](1)] for name in ("ResNet-50", "transformer")
    }
    assert sum(sizes["ResNet-50"]) == 25_557_032
    assert len(sizes["ResNet-50"]) == 161
    assert sum(sizes["transformer"]) == 124_439_808
    assert len(sizes["transformer"]) == 148


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "argument --rounds: 0 is less than 1"),
        (["--weights", "63"], "argument --weights: 63 is less than 64"),
        (["--methods", "adamw"], "adamw"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
