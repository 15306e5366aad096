"""A file that appears whole or not at all, also when the study is killed while it is written."""

from pathlib import Path


def write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
