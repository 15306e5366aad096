"""What the README shows was run."""

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_of_the_readme() -> None:
    failed, attempted = doctest.testfile(str(README), module_relative=False)
    assert attempted > 0
    assert failed == 0


def test_every_paper_has_a_link() -> None:
    table = README.read_text().partition("## The methods")[2].partition("*State*")[0]
    papers = [row.split("|")[4] for row in table.splitlines() if row.startswith("| `")]
    assert len(papers) == 10
    for cell in papers:
        assert re.fullmatch(r"( \[[^]]+ \d{4}\]\(https://\S+\),?)+ ", cell)
