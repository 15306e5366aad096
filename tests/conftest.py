"""The environment is strict, so that the code can be simple; and compiles a program only once."""

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


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """Or a worker holds those of all files to its end, some gigabytes."""
    yield
    jax.clear_caches()
