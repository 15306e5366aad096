"""Train every method of gdmethods on MNIST and compare them: `python -m examples.mnist`."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence

from examples.mnist import data
from examples.mnist.problems import problem
from examples.mnist.roster import ROSTER
from gdmethods._programs.options import Parser, positive, some_of
from gdmethods.study.command import compare
from gdmethods.study.contest import Plan
from gdmethods.study.methods import parse


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    words = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(words)
    try:
        network = problem("zeiler", data.load(options.data))
    except data.DataError as error:
        parser.error(str(error))
    plan = Plan(
        problems=[dataclasses.replace(network, batch_size=options.batch_size)],
        methods=parse([method.expression for method in options.methods]),
        command=shlex.join(["python", "-m", "examples.mnist", *words]),
        seeds=options.seeds,
        passes=options.passes,
    )
    return compare(plan, options.out, parser)


def _parser() -> Parser:
    on_minibatches = {name: method for name, method in ROSTER.items() if not method.full_batch}
    parser = Parser(
        "examples.mnist",
        "Train a network of two tanh layers (500 and 300 units) on MNIST with each method of "
        "gdmethods, from the same first weights on the same minibatches, and compare them. Each "
        "has one learning rate, which is not tuned. Prints a table, and writes a report with "
        "pictures. Ctrl-C keeps the finished runs, and the same command goes on from there. "
        "`python -m gdmethods.study examples.mnist.problems:zeiler` tunes the rates before it "
        "compares, and takes any method.",
    )
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        type=some_of(on_minibatches),
        default=[*on_minibatches.values()],
        help="the methods to compare, such as adam,rprop; all by default: "
        f"{', '.join(on_minibatches)}",
    )
    parser.add_argument(
        "--passes",
        "--epochs",
        metavar="N",
        type=positive,
        default=Plan.passes,
        help="passes over the training set (%(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=100,
        help="images in a minibatch (%(default)s); each pass skips the rest that fills no "
        "minibatch, other images each time",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=positive,
        default=3,
        help="of the first weights and the order of the images: each method trains with all of "
        "them (%(default)s)",
    )
    parser.add_directory("--out", "results/mnist", "where the runs and the report go")
    data.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
