"""The environment is strict, so that the code can be simple: no silent change of rank."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
