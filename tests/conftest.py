"""The environment is strict, so that the code can be simple; and compiles a program only once."""

import os
from pathlib import Path

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
os.environ["PYTHONWARNINGS"] = "error"  # in the programs that tests start, as in their own process

# Shared by the workers, and by this run and the next.
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(COMPILED))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
