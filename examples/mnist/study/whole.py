"""A file that appears whole or not at all, also when the study is killed while it is written."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content)
    with unfinished.open("r+b") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
