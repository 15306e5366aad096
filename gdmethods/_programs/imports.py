"""A thing that a user names on the command line."""

import pkgutil
import traceback
from pathlib import Path
from typing import Any


def imported(name: str) -> Any:
    """`module:attribute` or `module.attribute`; an ImportError says in a line what is wrong."""
    try:
        return pkgutil.resolve_name(name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ImportError(f"{name} cannot be imported ({error})") from error
    except Exception as error:  # whatever a module of the user may raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        if Path(where.filename) == Path(pkgutil.__file__):
            raise ImportError(f"{name!r} is no importable name") from None
        line = next(iter(str(error).splitlines()), "")
        raise ImportError(
            f"{name} cannot be imported ({type(error).__name__}: {line}; "
            f"{Path(where.filename).name}, line {where.lineno})"
        ) from error
