"""The command line of the gallery's programs: where their pictures go."""

from collections.abc import Sequence
from pathlib import Path

from gdmethods._programs.options import Parser


def pictures(
    arguments: Sequence[str] | None, program: str, description: str, *names: str
) -> list[Path]:
    """The files to write in the directory of `--out`; fails at once if they cannot be."""
    parser = Parser(program, description)
    parser.add_directory("--out", "results", f"where to write {' and '.join(names)}")
    out = parser.parse_args(arguments).out
    parser.make_directory("--out", out)
    return [out / name for name in names]
