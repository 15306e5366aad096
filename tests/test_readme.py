"""The README is a door: short, and what it shows was run."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_its_code_runs(capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "True\n"
    assert "  # True\n" in code


def test_every_paper_has_a_link() -> None:
    table = README.partition("## The methods")[2].partition("*State*")[0]
    papers = [row.split("|")[4] for row in table.splitlines() if row.startswith("| `")]
    assert len(papers) == 10
    for cell in papers:
        assert re.fullmatch(r"( \[[^]]+ \d{4}\]\(https://\S+\),?)+ ", cell)
