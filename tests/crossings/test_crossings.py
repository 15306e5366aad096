"""Every road in every situation: the numbers of the straight road, or a refusal.

A cell is a road of `roads.py` in a situation of `situations.py`. Who writes a public function adds
a row there; the last test asks for it.
"""

import inspect
from typing import Any

import jax
import numpy as np
import pytest

import gdmethods
from crossings.roads import NO_ROAD, ROADS, Crossing, Road
from crossings.situations import SITUATIONS, Situation
from gdmethods import dialects, rules, study, testing

COSTLY = (  # for the proofs: they compile for each road, or resemble others
    "MultiSteps",
    "MultiSteps inside",
    "injected",
    "complex",
    "float64",
    "float32",
    "bfloat16",
    "float16",
    "scalars",
    "jit",
    "scan",
    "vmap",
    "donated",
    "disable_jit",
    "strict promotion",
    "strict promotion, narrow and complex",
    "grad",
)

TOLERANCES = {
    "float64": 1e-11,
    "complex128": 1e-11,
    "float32": 4e-6,
    "complex64": 4e-6,
    "bfloat16": 2.0**-6,
    "float16": 2.0**-9,
}


def assert_claims(road: Road, situation: Situation) -> None:
    for claim in road.cross(Crossing(road, situation)):
        actual, expected = (dict(jax.tree.leaves_with_path(tree)) for tree in claim[:2])
        assert actual.keys() == expected.keys() != set()
        for path, straight in expected.items():
            came, where = np.asarray(actual[path]), jax.tree_util.keystr(path)
            numbers = wide(came), wide(np.asarray(straight))
            if claim.tolerance is None:
                np.testing.assert_array_equal(*numbers, where)
                continue
            tolerance = TOLERANCES.get(came.dtype.name, 0)
            tolerance = max(tolerance, claim.tolerance, situation.tolerance)
            finite = np.abs(numbers[1][np.isfinite(numbers[1])])
            np.testing.assert_allclose(
                *numbers, tolerance, tolerance * np.max(finite, initial=0), err_msg=where
            )


def wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def cross(road: Road, name: str) -> None:
    situation, refusal = SITUATIONS[name], road.refusal(name)
    dtypes = {situation.dtype(leaf, road.dtype) for leaf in "ab"}
    with jax.enable_x64(road.wide or "float64" in dtypes), situation.context():
        if refusal is None:
            assert_claims(road, situation)
        else:
            error, words = refusal
            with pytest.raises(error, match=f"(?s){words}"):
                assert_claims(road, situation)


def cells(*situations: str) -> Any:
    """Parametrizes a test with all roads in these situations.

    Quick tests have a third of the cheap cells, from every road and situation. Those on a mesh
    have a process of their own, which is a proof.
    """
    table = []
    for row, situation in enumerate(situations):
        for column, (name, road) in enumerate(ROADS.items()):
            if situation in road.senseless:
                continue
            is_cheap = road.is_cheap and situation not in COSTLY and (row + column) % 3 == 0
            marks = [] if is_cheap or situation == "sharded" else [pytest.mark.proof]
            table.append(pytest.param(road, situation, marks=marks, id=f"{name}, {situation}"))
    return pytest.mark.parametrize(("road", "situation"), table)


@cells(*(name for name in SITUATIONS if name != "sharded"))
def test_cell(road: Road, situation: str) -> None:
    cross(road, situation)


def test_what_is_declared_of_a_cell_has_its_situation() -> None:
    for road in ROADS.values():
        assert {*road.refused, *road.senseless} <= {*SITUATIONS}
        assert not {*road.refused} & {*road.senseless}


MODULES = (gdmethods, rules, study, testing, dialects.torch, dialects.keras, dialects.lecture)


def public() -> dict[str, Any]:
    """All public functions, by the names under which a user finds them."""
    return {
        f"{module.__name__}.{name}": thing
        for module in MODULES
        for name, thing in vars(module).items()
        if inspect.isfunction(thing)
        and not name.startswith("_")
        and (name in module.__all__ if hasattr(module, "__all__") else is_of(thing, module))
    }


def is_of(thing: Any, module: Any) -> bool:
    return bool(thing.__module__ == module.__name__)


def test_each_public_function_is_a_road_or_keeps_no_state() -> None:
    """Who wrote one adds a row to the roads, or a reason to those that keep no state."""
    walked = {function for road in ROADS.values() for function in road.public}
    missing = {name for name, function in public().items() if function not in walked}
    assert missing == {*NO_ROAD}
    assert all(NO_ROAD.values())
