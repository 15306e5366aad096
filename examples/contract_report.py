"""Check every optimizer of the installed Optax against the laws of gdmethods.testing.

    python -m examples.contract_report

With Optax 0.2.8, and parameters of bfloat16 and float16 where dtypes matter:

* `rprop` lags: its first update is 0, whatever the first gradient. The first update of `adopt` is
  0 too, since as published it first fills its state.
* In nearly all optimizers with a state (`adam`, `rmsprop`, `rprop`, `lion`, `muon`, …) float32
  gradients change the state's dtypes after one update. This breaks `jax.lax.scan`. The branches of
  `novograd` and `galore` do not even compile.
* With bfloat16 or float16 weights every state stalls or underflows in the weights' dtype, so that
  the weights do not follow float32 ones. With `prodigy`, `dadapt_adamw`, `dog` and `dowg` they
  hardly move.
* float16 gradients of 0 give NaN in `adam` and its kin, `rmsprop`, `adan`, `muon` and others,
  whose ε is 0 in float16. Weight decay and noise move such weights too, as they should.
* The state of `lbfgs`, `madgrad`, `cocob`, `dog`, `dowg` and `prodigy` shares buffers, mostly with
  the parameters. So they cannot be donated. `lbfgs` compiles twice.
* `adafactor` and `madgrad` add 1 to a count that is at its limit, and end in NaN.
* `yogi` starts from a mean of 1e-6, which has a sign. `sm3` fails on scalars, `galore` on None and
  on axes of one.
* Gradients that are all 0 make NaN in `dadapt_adamw` and `prodigy`.

`tests/examples/optax_cases.py` lists every case with its reason.
"""

import functools
import html
import inspect
import string
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optax

from gdmethods._programs.files import whole
from gdmethods._programs.imports import imported
from gdmethods._programs.options import Parser
from gdmethods._programs.progress import Progress
from gdmethods.testing import CLAIMED, LAWS, ContractReport, check_contract

RATE = 0.1
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    # Short, because some laws run its loops operation by operation.
    "lbfgs": {"memory_size": 2, "linesearch": optax.scale_by_zoom_linesearch(2)},
    "noisy_sgd": {"learning_rate": RATE, "key": 0},
    "polyak_sgd": {},
    "contrib.schedule_free": {"base_optimizer": optax.sgd(RATE), "learning_rate": RATE},
}
EXTRA_ARGS: Mapping[str, Callable[[Any, Any, Any], dict[str, Any]]] = {
    "contrib.sophia": lambda params, gradients, loss: {"obj_fn": half_square},
}
LEFT_OUT: Mapping[str, str] = {
    "contrib.dpsgd": "it takes the gradients of all examples, not their mean",
}
LETTERS = dict(
    zip((law for law in LAWS if law not in CLAIMED), string.ascii_lowercase, strict=False)
)
MARKS = {"kept": "·", "broken": "×", "not tried": "?"}
LEGEND = {
    "·": "kept: no case was found against it",
    "×": "broken: the case stands below",
    "?": "not tried: update needs an argument that it was not given",
}


def half_square(params: Any) -> Any:
    """A loss with a Hessian, for the optimizers that need one."""
    return optax.tree.norm(params, squared=True) / 2


def optimizers() -> dict[str, Callable[[], optax.GradientTransformation]]:
    """All public functions of Optax with a learning rate, without the parts of a chain."""
    return {
        name: functools.partial(build, **ARGUMENTS.get(name, {"learning_rate": RATE}))
        for name, build in _functions()
        if any(argument.endswith("learning_rate") for argument in _arguments(build))
        and not name.rpartition(".")[2].startswith("scale_by_")
        and name not in LEFT_OUT
    }


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for prefix, module in (("", optax), ("contrib.", optax.contrib)):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and not name.startswith("_"):
                yield prefix + name, function


def _arguments(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def report(name: str, make: Callable[[], optax.GradientTransformation]) -> ContractReport:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report shows what they do
        return check_contract(make, extra_args=EXTRA_ARGS.get(name))


def marks(report: ContractReport) -> dict[str, str]:
    """A mark for each of LETTERS' laws."""
    return {v.law: MARKS.get(v.outcome.value, " ") for v in report.verdicts if v.law in LETTERS}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(
        "examples.contract_report",
        "Check the optimizers of the installed Optax against the laws of gdmethods.testing.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="an optimizer of Optax, as adam, or a function of your own that builds one, as "
        "package.module:function (all of Optax)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write the table and the cases to FILE, in Markdown (.md) or HTML (.html)",
    )
    options = parser.parse_args(arguments)
    if options.output and options.output.suffix not in WRITERS:
        parser.error(f"--output {options.output} must end with .md or .html")
    if options.output and not options.output.parent.is_dir():
        parser.error(f"--output {options.output}: there is no directory {options.output.parent}")
    chosen = _chosen(options.names, parser)

    print(f"Optax {optax.__version__}")
    for law, letter in LETTERS.items():
        print_wrapped(f"{letter}  {law}: {statement(law)}")
    print()
    for mark, meaning in LEGEND.items():
        print(f"{mark}  {meaning}")
    width = max(map(len, chosen))
    print(f"\n{' ' * width} {' '.join(LETTERS.values())}")
    reports = {}
    with Progress(len(chosen)) as progress:
        for name in progress.over(chosen):
            try:
                reports[name] = report(name, chosen[name])
            except TypeError as error:  # a function of one's own that builds no transformation
                parser.error(f"{name}: {error}")
            print(f"{name:{width}} {' '.join(marks(reports[name]).values())}".rstrip())
    print()
    for name, law, message in cases(reports):
        print_wrapped(f"{name}: {law}: {message}")
    if options.output:
        with whole(options.output) as path:
            path.write_text(WRITERS[options.output.suffix](reports), encoding="utf-8")
        print(f"Written to {options.output}")


def statement(law: str) -> str:
    return (LAWS[law].__doc__ or "").splitlines()[0]


def cases(reports: Mapping[str, ContractReport]) -> Iterator[tuple[str, str, str]]:
    """Optimizer, law and message; for each optimizer one entry on laws that could not be tried."""
    for name, found in reports.items():
        for law, message in found.broken.items():
            yield name, law, message
        for law, message in list(found.not_tried.items())[:1]:
            yield name, law, message


def _chosen(
    names: Sequence[str], parser: Parser
) -> dict[str, Callable[[], optax.GradientTransformation]]:
    known = optimizers()
    chosen = {}
    for name in names or known:
        if ":" in name:
            chosen[name] = _imported(name, parser)
        elif name in known:
            chosen[name] = known[name]
        else:
            parser.error(f"Optax {optax.__version__} has no {name}; choose of {', '.join(known)}")
    return chosen


def _imported(name: str, parser: Parser) -> Callable[[], optax.GradientTransformation]:
    try:
        make: Callable[[], optax.GradientTransformation] = imported(name)
    except ImportError as error:
        parser.error(str(error))
    return make


def markdown(reports: Mapping[str, ContractReport]) -> str:
    lines = [f"# Optax {optax.__version__} and the laws of gdmethods.testing", ""]
    lines += [f"- `{letter}` {law}: {statement(law)}" for law, letter in LETTERS.items()]
    lines += ["", *(f"- {mark} {meaning}" for mark, meaning in LEGEND.items()), ""]
    lines += ["| optimizer | " + " | ".join(LETTERS.values()) + " |"]
    lines += ["|---" * (1 + len(LETTERS)) + "|"]
    for name, found in reports.items():
        lines += [f"| `{name}` | " + " | ".join(marks(found).values()) + " |"]
    lines += [""]
    for name, law, message in cases(reports):
        lines += [
            f"- `{name}`, {law}:",
            "",
            *(f"      {line}" for line in message.splitlines()),
            "",
        ]
    return "\n".join(lines)


def page(reports: Mapping[str, ContractReport]) -> str:
    """The table in HTML; the pointer over a mark shows its law and its case."""

    def cell(found: ContractReport, law: str, mark: str) -> str:
        message = {**found.broken, **found.not_tried}.get(law, "")
        return f'<td title="{html.escape(f"{law}: {message or statement(law)}")}">{mark}</td>'

    rows = [
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(cell(found, law, mark) for law, mark in marks(found).items())
        for name, found in reports.items()
    ]
    laws = [
        f"<li>{letter} {html.escape(f'{law}: {statement(law)}')}"
        for law, letter in LETTERS.items()
    ]
    listed = [
        f"<li>{html.escape(name)}, {law}: <pre>{html.escape(message)}</pre>"
        for name, law, message in cases(reports)
    ]
    title = f"Optax {optax.__version__} and the laws of gdmethods.testing"
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
            "<style>body { font: 1rem sans-serif; margin: 2rem } th { text-align: left }",
            "td { text-align: center; min-width: 1.2rem } pre { white-space: pre-wrap }</style>",
            f"<h1>{title}</h1><ul style='list-style: none'>",
            *laws,
            *(f"<li>{mark} {meaning}" for mark, meaning in LEGEND.items()),
            "</ul><table><tr><th>optimizer",
            "".join(f"<th>{letter}" for letter in LETTERS.values()),
            *rows,
            "</table><ul>",
            *listed,
            "</ul></html>",
        ]
    )


WRITERS: Mapping[str, Callable[[Mapping[str, ContractReport]], str]] = {
    ".md": markdown,
    ".html": page,
}


def print_wrapped(text: str) -> None:
    """In 80 columns; all lines but the first are indented."""
    first, *others = text.splitlines()
    for indent, line in [("", first), *(("   ", line) for line in others)]:
        print(
            textwrap.fill(
                line,
                80,
                initial_indent=indent,
                subsequent_indent="   ",
                break_on_hyphens=False,
            )
        )


if __name__ == "__main__":
    main()
