"""What the README shows was run."""

import doctest
from pathlib import Path


def test_the_examples_of_the_readme() -> None:
    readme = Path(__file__).parents[1] / "README.md"
    failed, attempted = doctest.testfile(str(readme), module_relative=False)
    assert attempted > 0
    assert failed == 0
