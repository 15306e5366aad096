"""The answer of `identify`, and how it prints."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gdmethods.testing.identify._certificate import Certificate

WIDTH = 80
TOGETHER = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Answer:
    """The rule of a step, as far as it was found; it prints as a paragraph.

    Attributes:
      exact: the name of the rule, if its factory gave the same updates: "adam",
        or "keras.rmsprop" if only a dialect has the rule. None for an unknown
        rule, and for one that differs from all factories in some term.
      title: the rule that it is, or the nearest one; None if none is near.
      wrong: each term that differs from `title`, in words.
      lines: the rule's equations, with their numbers.
      numbers: by gdmethods' names for them; without learning_rate if the step
        takes it as an argument.
      same: the factories that gave the same updates, as they are written.
      differs: for each near factory that differs, how.
      difference: the largest difference between the step and the rule that was
        found, on gradients that were held out. It is relative to the update, or
        to a thousandth of its weight's largest update so far. None if no rule
        was found.
      steps: the number of updates that were held out.
      share: the share of updates that agree with `title`, for an unknown rule.
      where: the condition under which the other updates differ.
      properties: what holds for all updates that were seen, for an unknown
        rule.
      notes: what else was seen.
      certificates: the factories that were run, with their arguments and
        largest differences.
    """

    exact: str | None = None
    title: str | None = None
    wrong: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    same: tuple[str, ...] = ()
    differs: Mapping[str, str] = field(default_factory=dict)
    difference: float | None = None
    steps: int = 0
    share: float | None = None
    where: str = ""
    properties: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            textwrap.fill(
                line,
                WIDTH,
                initial_indent=indent,
                subsequent_indent=indent + "    ",
                break_on_hyphens=False,
                break_long_words=False,
            ).replace(TOGETHER, " ")
            for indent, line in self._said()
        )

    def _said(self) -> Iterator[tuple[str, str]]:
        """Indents and lines."""
        equations = ", ".join(line.replace(" ", TOGETHER) for line in self.lines)
        head = self.title or "no rule that is known"
        if self.share is not None:
            head = f"no rule that is known; nearest is {head}"
        if self.wrong:
            head += f", but {'; '.join(self.wrong)}"
        head = head[0].upper() + head[1:]
        yield "", f"{head}: {equations}" if equations else head
        if self.share is not None:
            yield "  ", f"{self.share:.0%} of its updates are the same, others {self.where}"
        same = [c for c in self.certificates if c.text in self.same]
        width = max((len(c.text) for c in same), default=0)
        for c in same:
            yield "  ", f"{c.text:{min(width, 58)}}  the same to {c.difference:.0e}"
        if self.difference is not None:
            held_out = f"{self.steps:,} updates that were not used to find it"
            said = "judged by" if same else f"this rule is the same to {self.difference:.0e}, by"
            yield "  ", f"{said} {held_out}"
        for name, how in self.differs.items():
            yield "  ", f"{name} differs {how}"
        for text in (*self.properties, *self.notes):
            yield "  ", text
