"""What a check has found: a verdict for each law, and the table of them."""

import enum
import textwrap
from dataclasses import dataclass

WIDTH = 80
NEEDLESS = "(no case found against it)"


class Outcome(enum.Enum):
    """The result for a law.

    KEPT: no case was found against it. BROKEN: one was. NOT_PROMISED: `allow`
    has it. NOT_APPLICABLE: it was not claimed. NOT_TRIED: `update` needs an
    argument that it was not given.
    """

    KEPT = "kept"
    BROKEN = "broken"
    NOT_PROMISED = "not promised"
    NOT_APPLICABLE = "not applicable"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one law.

    Attributes:
      law: its name in `LAWS`.
      outcome: its result.
      message: for a broken law the failing case, what was expected, and a line
        that reproduces it; the reason if it is not promised, applicable or
        tried; empty if it is kept.
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
        return self._messages(Outcome.BROKEN)

    @property
    def not_tried(self) -> dict[str, str]:
        """Why, of each law that could not be tried."""
        return self._messages(Outcome.NOT_TRIED)

    @property
    def kept(self) -> tuple[str, ...]:
        """The laws that no case was found against."""
        return tuple(v.law for v in self.verdicts if v.outcome is Outcome.KEPT)

    def require(self) -> None:
        """Raises an `AssertionError` with each broken law and its case.

        A law in `allow` that holds raises an error as well.
        """
        lines = [
            f"allow has {v.law}, but no case was found against it. Remove it from allow."
            for v in self.verdicts
            if v.message.endswith(NEEDLESS)
        ]
        for outcome in (Outcome.BROKEN, Outcome.NOT_TRIED):
            messages = self._messages(outcome)
            if messages:
                laws = "1 law is" if len(messages) == 1 else f"{len(messages)} laws are"
                lines += [f"{laws} {outcome.value}."]
                lines += [f"{law}: {message}" for law, message in messages.items()]
        if lines:
            raise AssertionError("\n".join(lines))

    def _messages(self, outcome: Outcome) -> dict[str, str]:
        return {v.law: v.message for v in self.verdicts if v.outcome is outcome}

    def __str__(self) -> str:
        laws = max((len(v.law) for v in self.verdicts), default=0)
        rows = []
        for v in self.verdicts:
            rows.append(f"{v.law:{laws}}  {v.outcome.value}")
            for line in v.message.splitlines():
                rows += textwrap.wrap(
                    line,
                    WIDTH,
                    initial_indent="    ",
                    subsequent_indent="      ",
                    break_on_hyphens=False,
                )
        return "\n".join(rows)
