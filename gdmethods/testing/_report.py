"""What a check has found: a verdict for each law, and the table of them."""

import enum
import textwrap
from dataclasses import dataclass


class Outcome(enum.Enum):
    """What became of a law: KEPT, BROKEN, NOT_PROMISED or NOT_APPLICABLE."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_PROMISED = "not promised"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one law.

    Attributes:
      law: its name in `LAWS`.
      outcome: what became of it.
      message: the failing case of a broken law; the reason of one that is not
        promised or not applicable; empty for a kept one.
    """

    law: str
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True)
class ContractReport:
    """What `check_contract` returns; it prints as a table.

    Attributes:
      verdicts: one for each law, in the order of `LAWS`.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def broken(self) -> dict[str, str]:
        """The failing case of each broken law."""
        return {v.law: v.message for v in self.verdicts if v.outcome is Outcome.BROKEN}

    @property
    def kept(self) -> tuple[str, ...]:
        """The laws that no case was found against."""
        return tuple(v.law for v in self.verdicts if v.outcome is Outcome.KEPT)

    def __str__(self) -> str:
        laws = max((len(v.law) for v in self.verdicts), default=0)
        outcomes = max((len(v.outcome.value) for v in self.verdicts), default=0)
        indent = laws + outcomes + 4
        rows = []
        for v in self.verdicts:
            head = f"{v.law:{laws}}  {v.outcome.value:{outcomes}}  "
            text = textwrap.wrap(v.message, 99 - indent) or [""]
            rows.append((head + f"\n{'':{indent}}".join(text)).rstrip())
        return "\n".join(rows)
