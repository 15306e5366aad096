"""The environment is strict, so that the code can be simple; and compiles a program only once."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
os.environ["PYTHONWARNINGS"] = "error"  # in the programs that tests start, as in their own process

# Shared by the workers, and by this run and the next.
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(COMPILED))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


files = itertools.count(1)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """Now and then: files share programs, but those of all files take some gigabytes."""
    yield
    if next(files) % 8 == 0:
        jax.clear_caches()
