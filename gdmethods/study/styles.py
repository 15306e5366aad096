"""How a method is called and drawn, the same in all sentences and pictures."""

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Style(NamedTuple):
    """Of a line: the arguments of Matplotlib's `plot`."""

    color: str
    linestyle: Any
    marker: str


NAMES = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adaptive_gains": "Adaptive gains",
    "adagrad": "AdaGrad",
    "adadelta": "ADADELTA",
    "rprop": "RPROP",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
}
STYLES = {  # colours that stay apart under colour blindness; no two share dashes and marker
    "sgd": Style("#000000", "-", "o"),
    "momentum": Style("#0072B2", "-", "s"),
    "nesterov": Style("#56B4E9", "--", "D"),
    "adaptive_gains": Style("#E69F00", "-", "^"),
    "adagrad": Style("#009E73", "-", "v"),
    "adadelta": Style("#882255", "--", "P"),
    "rprop": Style("#D55E00", "-", "X"),
    "rmsprop": Style("#CC79A7", "-.", "*"),
    "adam": Style("#332288", "-", "h"),
}
_COLORS = list(dict.fromkeys(style.color for style in STYLES.values()))
_DASHES = ("--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
_MARKERS = ("p", "<", ">", "H", "+", "1", "2")  # none of the roster's
_MODULES = re.compile(r"^(?:\w+\.){2,}")


def styles(labels: Sequence[str]) -> dict[str, Style]:
    """Of each label; no two share colour and marker. Variants of a method have styles of none."""
    factories = [label.split("(")[0] for label in labels]
    own = {
        label: STYLES[factory]
        for label, factory in zip(labels, factories, strict=True)
        if factory in STYLES and factories.count(factory) == 1
    }
    taken = {style.color for style in own.values()}
    colors = sorted(_COLORS, key=taken.__contains__)  # the free ones first
    others = map(Style, *map(itertools.cycle, (colors, _DASHES, _MARKERS)))
    return {label: own[label] if label in own else next(others) for label in labels}


def without_modules(expression: str) -> str:
    """Of a factory in a module of a package; `optax.adamw` keeps the package."""
    return _MODULES.sub("", expression)


def names(labels: Sequence[str]) -> dict[str, str]:
    """For sentences: `adam` is Adam, and `our.own.rules.lion` is lion.

    Modules and arguments are named where only they tell methods apart.
    """
    factories = [label.split("(")[0] for label in labels]
    short = {factory: NAMES.get(factory, without_modules(factory)) for factory in factories}
    spoken = [*short.values()]
    return {
        label: label
        if factories.count(factory) > 1
        else factory
        if spoken.count(short[factory]) > 1
        else short[factory]
        for label, factory in zip(labels, factories, strict=True)
    }


def broken(label: str, characters: int) -> str:
    """A label in lines of so many characters.

    It is broken after brackets, commas and dots; within a word only where that is too long, and
    then after an underscore, if it has one.
    """
    most = characters - len("  ")
    lines = [""]
    after_signs = rf".{{1,{most}}}?(?:[(=,](?!\))|[^\W\d]\.|$)"
    for piece in re.findall(rf"{after_signs}|.{{1,{most - 1}}}_|.{{{most}}}", label):
        if lines[-1] and len(lines[-1] + piece) > characters:
            lines.append("  ")
            piece = piece.lstrip()
        lines[-1] += piece
    return "\n".join(lines)
