"""Hold every optimizer of the installed Optax to the laws of gdmethods.testing.

    python -m examples.contract_report

With Optax 0.2.8, and parameters of bfloat16 where dtypes matter:

* `rprop` lags: its first update is 0, whatever the first gradient. So is that of `adopt`, which as
  published only fills its state first.
* Gradients of float32 change the state's dtypes after one update in nearly all that keep one
  (`adam`, `rmsprop`, `rprop`, `lion`, `muon`, …), which breaks `jax.lax.scan`; the branches of
  `novograd` and `galore` do not compile then.
* float16 gradients of 0 make NaN in `adam` and its kin, `rmsprop`, `adan`, `muon` and others,
  whose ε is 0 in float16. Weight decay and noise move such weights too, as they should.
* The state of `lbfgs`, `madgrad`, `cocob`, `dog`, `dowg` and `prodigy` shares buffers, most with
  the parameters, so that they cannot be donated; `lbfgs` compiles twice.
* `yogi` starts from a mean of 1e-6, which has a sign; `sm3` fails on scalars, `galore` on None.
* `dadapt_adamw` and `prodigy` estimate their rate from sums that cancel, so that compiled and
  eager steps differ by 0.06 %; gradients that are all 0 make NaN.
"""

import functools
import inspect
import string
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optax

from examples.programs import Parser, Progress
from gdmethods.testing import LAWS, ContractReport, check_contract

RATE = 0.1
MARKS = string.ascii_lowercase[: len(LAWS)]  # the columns of the table
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    # Short, because some laws run its loops operation by operation.
    "lbfgs": {"memory_size": 2, "linesearch": optax.scale_by_zoom_linesearch(2)},
    "noisy_sgd": {"learning_rate": RATE, "key": 0},
    "polyak_sgd": {},
    "contrib.schedule_free": {"base_optimizer": optax.sgd(RATE), "learning_rate": RATE},
}
LEFT_OUT: Mapping[str, str] = {
    "contrib.dpsgd": "it takes the gradients of all examples, not their mean",
    "contrib.sophia": "it asks for the loss as a function, obj_fn",
}


def optimizers() -> dict[str, Callable[[], optax.GradientTransformation]]:
    """All public functions of Optax with a learning rate, but the parts of a chain."""
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


def row(name: str, report: ContractReport, width: int) -> str:
    """A mark for each law: a dot for one kept, × for one broken, nothing for one not claimed."""
    marks = {**dict.fromkeys(report.kept, "·"), **dict.fromkeys(report.broken, "×")}
    return " ".join([f"{name:{width}}", *(marks.get(law, " ") for law in LAWS)]).rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    known = optimizers()
    parser = Parser(
        "examples.contract_report",
        "Hold the optimizers of the installed Optax to the laws of gdmethods.testing.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="as adam (all of them)")
    names = parser.parse_args(arguments).names or list(known)
    for name in names:
        if name not in known:
            parser.error(f"Optax {optax.__version__} has no {name}; choose of {', '.join(known)}")

    print(f"Optax {optax.__version__}")
    for mark, line in zip(MARKS, str(LAWS).splitlines(), strict=True):
        print_wrapped(f"{mark}  {line}")
    width = max(map(len, names))
    print(f"\n{' ' * width} {' '.join(MARKS)}")
    reports = {}
    with Progress(len(names)) as progress:
        for name in progress.over(names):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the report is about what they do
                reports[name] = check_contract(known[name])
            print(row(name, reports[name], width))
    print()
    for name, report in reports.items():
        for law, message in report.broken.items():
            print_wrapped(f"{name}: {law}: {message}")


def print_wrapped(text: str) -> None:
    for line in text.splitlines():
        print(textwrap.fill(line, 80, subsequent_indent="   ", break_on_hyphens=False))


if __name__ == "__main__":
    main()
