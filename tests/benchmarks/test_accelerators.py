"""What `make accelerators` compiles and complains of; the compilers themselves are not here."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from table import METHODS

import gdmethods
from benchmarks.accelerators import picture, rows, scale
from benchmarks.accelerators.__main__ import (
    DEVICES,
    DTYPES,
    GROUPS,
    HELD,
    SHAPE,
    Step,
    bars,
    main,
    too_much,
)
from gdmethods import StepBytes
from gdmethods.dialects import keras, lecture, torch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence" / "accelerators.md"
WEIGHTS = SHAPE[0] * SHAPE[1]


def test_every_method_and_dialect_has_a_row():
    methods = {method.factory.__name__ for method in METHODS.values()}
    dialects = {
        f"{dialect.__name__.rpartition('.')[2]}.{name}"
        for dialect in (torch, keras, lecture)
        for name, factory in inspect.getmembers(dialect, inspect.isfunction)
        if factory.__module__.startswith(dialect.__name__)
        and not name.startswith("_")
        and "GradientTransformation" in str(inspect.signature(factory).return_annotation)
    }
    shown = {name.partition(",")[0] for name in (*rows.METHODS, *rows.CORES, *rows.DIALECTS)}
    assert shown == methods | dialects


def test_the_tables_show_what_a_step_must_move():
    """Weight, gradient and state read; weight and state written: ours move nothing else."""
    row = r"^\| ([^|]+?) +\| ([^|]+?) +\| ([^|]+?) +\|$"
    table = {
        name: cells for name, *cells in re.findall(row, PAGE.read_text("utf-8"), re.MULTILINE)
    }
    shown = {name for name in table if name in HELD}
    assert shown >= {*rows.METHODS, *rows.WRAPPERS}
    known = {name: row for group in GROUPS.values() for name, row in group.items()}
    for name in shown:
        for dtype, cell in zip((jnp.float32, jnp.bfloat16), table[name], strict=True):
            w = jax.ShapeDtypeStruct(SHAPE, dtype)
            state = round(gdmethods.state_bytes(known[name].tx, w) / WEIGHTS)
            assert cell == str(3 * w.dtype.itemsize + 2 * state), name


def test_what_a_large_model_takes_stands_in_the_table():
    page = PAGE.read_text("utf-8")
    for name, row in scale.ROWS.items():
        gib = [f"{scale.kept(row, cluster):.2f}" for cluster in scale.CLUSTERS.values()]
        assert re.search(rf"^\| {re.escape(name)} +\| {gib[0]} .*\| {gib[1]} ", page, re.MULTILINE)


LEAST = StepBytes(1, 28 * WEIGHTS, 28 * WEIGHTS, 0, 0, None)


@pytest.mark.parametrize(
    ("step", "result", "complaint"),
    [
        (Step("adam", "float32", "v5e"), LEAST, None),
        (
            Step("adam", "float32", "v5e"),
            LEAST._replace(moved=30 * WEIGHTS),
            r"adam in float32 on v5e: 30 bytes a weight, limit 28; 1 kernels, limit 1",
        ),
        (Step("adam", "float32", "v5e"), LEAST._replace(kernels=2), "2 kernels, limit 1"),
        (Step("adam", "float32", "h100"), LEAST._replace(temporaries=WEIGHTS), "1 bytes of temp"),
        (Step("optax.adam", "float32", "v5e"), LEAST._replace(kernels=2), None),
        (Step("adam", "8 H100", "h100"), LEAST._replace(kernels=12), None),
        (
            Step("adam", "8 H100", "h100"),
            LEAST._replace(moved=30 * WEIGHTS),
            "moves 3.75 GiB, limit 3.50",
        ),
        (Step("adam", "8 H100", "h100"), LEAST._replace(communicated=4), "communicates 4 bytes"),
        (
            Step("adam", "256 v5e", "v5e"),
            LEAST._replace(temporaries=2**28),
            "0.25 GiB of temporaries, limit 0.10",
        ),
    ],
)
def test_a_step_that_leaves_the_limit_is_named(step, result, complaint):
    lines = list(too_much({step: result}))
    assert len(lines) == (complaint is not None)
    assert all(complaint in line for line in lines)


def test_a_complaint_ends_the_program_with_an_error(monkeypatch, capsys):
    twice = LEAST._replace(moved=2 * LEAST.moved)
    monkeypatch.setattr(gdmethods, "step_bytes", lambda *args, **options: twice)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1")
    assert main(["--groups", "wrappers"]) == 1
    printed = capsys.readouterr()
    assert "| float32 master, adam" in printed.out
    assert printed.err.count("limit 28") == len(rows.WRAPPERS) * 2 * len(DEVICES)


def test_the_picture_shows_each_method_beside_optax(tmp_path):
    compiled = {
        Step(name, dtype, device): LEAST._replace(moved=LEAST.moved * (1 + (device == "v5e")))
        for group in GROUPS.values()
        for name in group
        for dtype in DTYPES
        for device in DEVICES
    }
    drawn = bars(compiled)
    assert {bar.method for bar in drawn} == {*rows.BESIDE_OPTAX}
    assert [bar.library for bar in drawn if bar.method == "adam"] == [
        "gdmethods",
        "gdmethods 8 bits",
        "optax",
    ]
    assert all(bar.least == 28 and bar.moved == {**bar.moved, "v5e": 56} for bar in drawn)
    picture.draw(drawn, "versions", tmp_path / "bytes.png")
    assert (tmp_path / "bytes.png").read_bytes().startswith(b"\x89PNG")
