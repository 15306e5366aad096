"""Which rule did I write? Ten optimizers of homework and of known repositories, and their names.

    python -m examples.identify

`identify` takes a function that builds a step. It finds the rule of the step with its numbers, the
factories that are the same and to how many digits, or the wrong term. A teacher's test:

    from gdmethods.testing import identify

    def test_adam():
        answer = identify(students_make_adam)
        assert answer.exact == "adam", answer
        assert answer.numbers["eps"] == 1e-8

If the test fails, it prints the rule that the student wrote. For code that Python cannot import,
record the gradients and updates of each step in a file, and read it with
`python -m gdmethods.testing.identify --csv updates.csv`.

The formulas come from the sources; the code is new.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdmethods._programs.options import Parser, some_of
from gdmethods.testing import identify

Array = NDArray[Any]
Step = Callable[[Array, Array], Any]


def course_rmsprop() -> Step:
    """RMSProp as in the notes of Stanford's course CS231n."""
    cache: Any = 0.0

    def step(x: Array, dx: Array) -> Any:
        nonlocal cache
        cache = 0.99 * cache + (1 - 0.99) * dx**2
        return x - 1e-3 * dx / (np.sqrt(cache) + 1e-6)

    return step


def course_nesterov() -> Step:
    """Nesterov's method by the velocities before and after the step, from the same notes."""
    v: Any = 0.0

    def step(x: Array, dx: Array) -> Any:
        nonlocal v
        before = v
        v = 0.9 * v - 0.1 * dx
        return x - 0.9 * before + (1 + 0.9) * v

    return step


def character_rnn() -> Step:
    """AdaGrad as in Karpathy's min-char-rnn, which trains 112 lines of NumPy."""
    memory: Any = 0.0

    def step(w: Array, g: Array) -> Any:
        nonlocal memory
        memory = memory + g * g
        return w - 0.1 * g / np.sqrt(memory + 1e-8)

    return step


def tsne() -> Step:
    """The gains of van der Maaten's t-SNE in Python, after its first 20 steps."""
    gains: Any = 1.0
    move: Any = 0.0

    def step(y: Array, dy: Array) -> Any:
        nonlocal gains, move
        turned = (dy > 0) == (move > 0)
        gains = np.where(turned, gains * 0.8, gains + 0.2)
        gains = np.maximum(gains, 0.01)
        move = 0.8 * move - 500 * gains * dy
        return y + move

    return step


def handwriting() -> Step:
    """RMSProp of Graves' paper on generating sequences, equations 38 to 41."""
    n: Any = 0.0
    mean: Any = 0.0
    move: Any = 0.0

    def step(w: Array, g: Array) -> Any:
        nonlocal n, mean, move
        n = 0.95 * n + 0.05 * g**2
        mean = 0.95 * mean + 0.05 * g
        move = 0.9 * move - 1e-4 * g / np.sqrt(n - mean**2 + 1e-4)
        return w + move

    return step


def bert() -> Step:
    """The optimizer that BERT was published with."""
    m: Any = 0.0
    v: Any = 0.0

    def step(w: Array, g: Array) -> Any:
        nonlocal m, v
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        return w - 1e-4 * (m / (np.sqrt(v) + 1e-6) + 0.01 * w)

    return step


def averaged_momentum() -> Step:
    """Homework: momentum as an average of gradients, which hides a rate of 0.001."""
    v: Any = 0.0

    def step(w: Array, g: Array) -> Any:
        nonlocal v
        v = 0.9 * v + (1 - 0.9) * g
        return w - 0.01 * v

    return step


def adam_from_zero() -> Step:
    """Homework: Adam whose first step is number 0."""
    m: Any = 0.0
    v: Any = 0.0
    t = 0

    def step(w: Array, g: Array) -> Any:
        nonlocal m, v, t
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat = m / np.float64(1 - 0.9**t)
        v_hat = v / np.float64(1 - 0.999**t)
        t += 1
        return w - 1e-3 * m_hat / (np.sqrt(v_hat) + 1e-8)

    return step


def rprop_with_a_memory() -> Step:
    """Homework: Rprop that does not move where a sign turns, and then shortens twice."""
    size: Any = None
    before: Any = 0.0

    def step(w: Array, g: Array) -> Any:
        nonlocal size, before
        size = np.full_like(w, 0.1) if size is None else size
        agreement = np.sign(g) * before
        size = np.where(agreement > 0, np.minimum(1.2 * size, 50.0), size)
        size = np.where(agreement < 0, np.maximum(0.5 * size, 1e-6), size)
        before = np.sign(g)
        return w - np.where(agreement < 0, 0.0, np.sign(g)) * size

    return step


def belief() -> Step:
    """AdaBelief, which gdmethods does not have."""
    m: Any = 0.0
    s: Any = 0.0
    t = 0

    def step(w: Array, g: Array) -> Any:
        nonlocal m, s, t
        t += 1
        m = 0.9 * m + 0.1 * g
        s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-16
        return w - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-16)

    return step


OPTIMIZERS: Mapping[str, Callable[[], Step]] = {
    make.__name__: make
    for make in (
        course_rmsprop,
        course_nesterov,
        character_rnn,
        tsne,
        handwriting,
        bert,
        averaged_momentum,
        adam_from_zero,
        rprop_with_a_memory,
        belief,
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser("examples.identify", "Name the rules of ten optimizers of other people.")
    parser.add_argument(
        "--only",
        type=some_of(OPTIMIZERS),
        metavar="NAMES",
        default=list(OPTIMIZERS.values()),
        help=f"of {', '.join(OPTIMIZERS)} (all)",
    )
    for place, make in enumerate(parser.parse_args(arguments).only):
        said = f"# {make.__name__}: {make.__doc__}"
        print("\n" * (place > 0) + textwrap.fill(said, 80, subsequent_indent="# "))
        print(identify(make))


if __name__ == "__main__":
    main()
