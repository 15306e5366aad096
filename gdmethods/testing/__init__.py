"""Laws that every gradient transformation should keep, and checks for any Optax-style one.

Optimizers fail quietly: one that lags by a step still converges, and a state
that changes its dtype breaks only the first `jax.lax.scan`. `check_contract`
checks a transformation against the laws of `LAWS` and reports on each.
`assert_contract` and `every_law` do this in a test.

`identify` finds the rule that a step follows, with its numbers or its wrong
term. `python -m gdmethods.testing.identify my_module:make` does so from a
shell, and `identify_updates` from recorded steps. Needs the extra `testing`.
"""

try:
    import chex as _chex  # noqa: F401
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'gdmethods.testing needs {error.name}: pip install "gdmethods[testing]".'
    ) from error

from gdmethods.testing._contract import assert_contract, check_contract, check_law, every_law
from gdmethods.testing._report import ContractReport, Outcome, Verdict
from gdmethods.testing.identify import Answer, identify, identify_updates
from gdmethods.testing.laws import CLAIMED, LAWS

__all__ = [
    "CLAIMED",
    "LAWS",
    "Answer",
    "ContractReport",
    "Outcome",
    "Verdict",
    "assert_contract",
    "check_contract",
    "check_law",
    "every_law",
    "identify",
    "identify_updates",
]
