"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that then appears at `path`, whole or not at all.

    Programs that write the same file at once do not disturb each other: the last one's stays.
    """
    unfinished = path.with_name(f"unfinished-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        unfinished.unlink(missing_ok=True)
