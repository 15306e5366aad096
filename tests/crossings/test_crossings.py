"""Every road in every situation: the numbers of the straight road, or a refusal.

A cell is a road of `roads.py` in a situation of `situations.py`. Who writes a public function adds
one row there; the last test asks for it.
"""

import jax
import numpy as np
import pytest
from crossings.roads import ROADS, Crossing, Road
from crossings.situations import SITUATIONS, Situation

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
        expected = jax.tree.leaves_with_path(claim.expected)
        actual = jax.tree.leaves_with_path(claim.actual)
        assert [path for path, _ in actual] == [path for path, _ in expected]
        for (path, came), (_, straight) in zip(actual, expected, strict=True):
            came, straight = map(np.asarray, (came, straight))
            if claim.tolerance is None:
                np.testing.assert_array_equal(
                    as_wide(came), as_wide(straight), jax.tree_util.keystr(path)
                )
                continue
            tolerance = max(
                claim.tolerance, situation.tolerance, TOLERANCES.get(came.dtype.name, 0)
            )
            came, straight = map(as_wide, (came, straight))
            with np.errstate(invalid="ignore"):
                scale = np.max(np.abs(straight), initial=0, where=np.isfinite(straight))
            np.testing.assert_allclose(
                came,
                straight,
                rtol=tolerance,
                atol=tolerance * scale,
                err_msg=jax.tree_util.keystr(path),
            )


def as_wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def cell(road: Road, situation: Situation, name: str) -> None:
    dtypes = {situation.dtype(leaf, road.dtype) for leaf in "ab"}
    refusal = road.refusal(name)
    with jax.enable_x64(road.wide or "float64" in dtypes), situation.context():
        if refusal is None:
            assert_claims(road, situation)
            return
        error, words = refusal
        with pytest.raises(error, match=f"(?s){words}"):
            assert_claims(road, situation)


def reason(road: Road, name: str) -> str | None:
    return road.senseless.get(name)


@pytest.mark.parametrize("situation", [s for s in SITUATIONS if s != "sharded"])
@pytest.mark.parametrize("road", ROADS)
def test_cell(road: str, situation: str) -> None:
    if situation in ROADS[road].senseless:
        return
    cell(ROADS[road], SITUATIONS[situation], situation)
