"""The command line of the gallery's programs: where their pictures go."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def pictures(
    arguments: Sequence[str] | None, program: str, description: str, *names: str
) -> list[Path]:
    """The files to write, in the directory of `--out`; refused at once if they cannot be."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("results"),
        help=f"where to write {' and '.join(names)} (%(default)s)",
    )
    out = parser.parse_args(arguments).out
    paths = [out / name for name in names]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.touch()
    except OSError as error:
        parser.error(f"--out {out} cannot be written ({error}); name another directory")
    return paths
