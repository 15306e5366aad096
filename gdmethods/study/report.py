"""report.html: a study in one file that needs no other, and no network."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gdmethods._programs.files import whole
from gdmethods.study import pictures, tables
from gdmethods.study.comparison import judge, remarks
from gdmethods.study.outcomes import Outcome, Results
from gdmethods.study.standings import by_problem

RANKING = ("rank", "label", "learning_rate", "judge", "behind")
"""The columns of the ranking."""

Paths = Mapping[str, Mapping[str, Path]]


def write(path: Path, results: Results, drawn: Paths) -> None:
    """Write the report; `drawn` are the pictures, as `pictures.write` returns them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary = tables.summary(results)
    problems = [
        _problem(outcomes, summary, drawn.get(name, {}))
        for name, outcomes in by_problem(results.outcomes).items()
    ]
    html = environment.get_template("report.html.jinja").render(
        results=results,
        problems=problems,
        profile=[_figure(*item, results.outcomes) for item in drawn.get(pictures.ALL, {}).items()],
        ranking=RANKING,
        settings=[*_settings(results.settings)],
        tuned=any(outcome.trials for outcome in results.outcomes),
        took=tables.took(summary),
    )
    with whole(path) as file:
        file.write_text(html, encoding="utf-8")


def _problem(
    outcomes: Sequence[Outcome], summary: tables.Summary, drawn: Mapping[str, Path]
) -> dict[str, Any]:
    facts = outcomes[0].problem
    rows = [row for row in summary["outcomes"] if row["problem"] == facts.name]
    columns = tables.columns(facts)
    texts = [column.texts(rows) for column in columns]
    return {
        "facts": facts,
        "answer": summary["answer"][facts.name],
        "remarks": remarks(outcomes),
        "repeating": _repeating(outcomes),
        "figures": [_figure(name, svg, outcomes) for name, svg in drawn.items()],
        "columns": columns,
        "rows": [
            [
                (column, cells[i], _key((row | row["arguments"]).get(column.figure)))
                for column, cells in zip(columns, texts, strict=True)
            ]
            for i, row in enumerate(rows)
        ],
    }


def _repeating(outcomes: Sequence[Outcome]) -> str:
    facts = outcomes[0].problem
    parts = [
        facts.batch_size and f"batches of {facts.batch_size:,}",
        facts.examples and f"{facts.examples:,} training examples",
        f"judged by the {judge(facts)}, which is reported on the {facts.reported} data",
        facts.target is not None and f"its target on the validation data is {facts.target:g}",
        *(f"CRC-32 {run.settings.problem_crc32:08x}" for run in tables.runs(outcomes[0])[:1]),
    ]
    return "; ".join(part for part in parts if part)


def _key(value: Any) -> Any:
    """To sort by; empty for what is no number."""
    missing = value is None or (isinstance(value, float) and not math.isfinite(value))
    return "" if missing else value


def _figure(name: str, svg: Path, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    title, text = pictures.caption(name, outcomes).split(". ", 1)
    return {"svg": _inline(svg), "title": title, "text": text}


def _inline(svg: Path) -> Markup:
    """The picture as a part of the page: no background, no style, no name but those it uses."""
    text = svg.read_text(encoding="utf-8")
    (view,) = re.findall(r'viewBox="[^"]*"', text)
    text = f'<svg role="img" {view}>' + text[text.index("</metadata>") + len("</metadata>") :]
    text = re.sub(r"<style.*?</style>", "", text).replace("fill: #ffffff", "fill: none")
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    used = {*re.findall(r'(?:href="|url\()#([^")]+)', text)}
    return Markup(
        re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    )


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        match value:
            case Mapping():
                text = ", ".join(f"{key} {entry}" for key, entry in value.items())
            case list() | tuple():
                text = ", ".join(map(str, value))
            case _:
                text = "" if value is None else str(value)
        yield name.replace("_", " ").capitalize(), text or "—"
