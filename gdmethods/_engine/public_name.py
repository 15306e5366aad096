"""The name under which a user finds a type or a function."""

import itertools
from typing import Any


def public_name(thing: Any) -> str:
    """The name with the module that exports it, which stands before the first private module."""
    rooms = thing.__module__.split(".")
    public = itertools.takewhile(lambda room: not room.startswith("_"), rooms)
    return ".".join([*public, thing.__name__])
