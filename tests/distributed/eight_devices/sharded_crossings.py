"""The column of the table of crossings that wants a mesh: each road with its weights sharded."""

from crossings.roads import Road
from crossings.test_crossings import cells, cross


@cells("sharded")
def test_cell(road: Road, situation: str) -> None:
    cross(road, situation)
