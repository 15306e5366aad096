"""report.html: a study in one file that needs no other, and no network."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from examples.mnist.study import tables
from examples.mnist.study.study import Outcome, Plan
from gdmethods._programs.files import whole


def write(
    path: Path,
    plan: Plan,
    command: str,
    outcomes: Sequence[Outcome],
    pictures: Mapping[str, Mapping[str, Path]],
) -> None:
    """Write the report; `pictures` are those of each problem, as `pictures.write` returns them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    settings = tables.settings(plan, command, outcomes)
    summaries = [tables.summary(outcome) for outcome in outcomes]
    images = {
        problem: {name: base64.b64encode(png.read_bytes()).decode() for name, png in its.items()}
        for problem, its in pictures.items()
    }
    html = environment.get_template("report.html.jinja").render(
        settings=settings,
        outcomes=len(outcomes),
        columns=tables.COLUMNS,
        problems=[
            (problem, [row for row in summaries if row["problem"] == problem["name"]])
            for problem in settings["problems"]
            if problem["name"] in images
        ],
        images=images,
    )
    with whole(path) as file:
        file.write_text(html)
