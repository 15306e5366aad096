"""The name under which a user finds a type or a function."""

import itertools
from typing import Any


def public_name(thing: Any) -> str:
    """With the module that exports it: without the private modules, and what is inside them."""
    rooms = thing.__module__.split(".")
    public = itertools.takewhile(lambda room: not room.startswith("_"), rooms)
    return ".".join([*public, thing.__name__])
