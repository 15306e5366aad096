"""Optimizers that people write are named, with their numbers or their wrong term."""

import importlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from handwritten import (
    RIGHT,
    UNKNOWN,
    WRONG,
    Kept,
    Written,
    adam,
    by_function,
    in_float32,
    in_place,
    momentum,
    of_numbers,
    returned,
    with_argument,
)

import gdmethods.testing
from gdmethods import dialects
from gdmethods.testing import Answer, identify, identify_updates
from gdmethods.testing.identify import __main__ as program
from gdmethods.testing.identify._conventions import CONVENTIONS
from gdmethods.testing.identify._families import edits
from gdmethods.testing.identify._words import terms

STYLES: dict[str, Callable[..., Callable[[], Any]]] = {
    "returned": returned,
    "in place": in_place,
    "the rate as an argument": with_argument,
    "a function for the gradient": by_function,
    "plain numbers": of_numbers,
    "JAX": lambda rule, rate: returned(rule, rate, jnp),
    "float32": in_float32,
}
OUTSIDE = {"momentum, η outside", "Nesterov, PyTorch's"}  # seen where the rate is an argument
# √(0.1 + s) + 1e-8 is √(0.1 + s) in float32, which is Keras' with another ε.
IN_FLOAT32 = {"AdaGrad from 0.1": Written(RIGHT["AdaGrad from 0.1"].rule, "keras.adagrad")}
ONCE = list(zip(RIGHT, itertools.cycle(STYLES), strict=False))[::3]  # each style has a rule
OFTEN = [pair for pair in itertools.product(RIGHT, STYLES) if pair not in ONCE]


def check(answer: Answer, written: Written, digits: float) -> None:
    assert written.wrong in "; ".join(answer.wrong)
    assert answer.exact == written.exact
    if not written.wrong:
        assert answer.wrong == ()
        assert answer.same
    for name, value in written.numbers.items():
        assert answer.numbers[name] == pytest.approx(value, rel=digits)
    assert answer.difference is not None
    assert answer.difference < digits
    assert max(map(len, str(answer).splitlines())) <= 80


def check_style(name: str, style: str) -> None:
    written = RIGHT[name]
    if style == "the rate as an argument" and name in OUTSIDE:
        written = Written(written.rule, "torch.sgd", written.numbers)
    if style == "float32":
        written = IN_FLOAT32.get(name, written)
    answer = identify(STYLES[style](written.rule, written.rate))
    check(answer, written, 1e-3 if style == "float32" else 1e-8)
    if style == "the rate as an argument":
        assert "learning_rate" not in answer.numbers
        assert "the learning rate is the argument" in answer.lines
    else:
        rate = answer.numbers["learning_rate"]
        assert rate == pytest.approx(written.rate, rel=1e-3 if style == "float32" else 1e-8)


@pytest.mark.parametrize(("name", "style"), ONCE)
def test_a_rule_is_named_with_its_numbers(name: str, style: str) -> None:
    check_style(name, style)


@pytest.mark.proof
@pytest.mark.parametrize(("name", "style"), OFTEN)
def test_a_rule_is_named_in_every_style(name: str, style: str) -> None:
    check_style(name, style)


SOME = ["no correction of v", "ν shared", "the turn remembered", "climbing", "a step late"]


@pytest.mark.parametrize("name", SOME)
def test_a_wrong_term_is_told(name: str) -> None:
    check(identify(returned(WRONG[name].rule, WRONG[name].rate)), WRONG[name], 1e-8)


@pytest.mark.proof
@pytest.mark.parametrize("name", sorted(WRONG.keys() - SOME))
def test_every_wrong_term_is_told(name: str) -> None:
    check(identify(returned(WRONG[name].rule, WRONG[name].rate)), WRONG[name], 1e-8)


NEAREST = {"Adam of clipped gradients": "Adam", "momentum that restarts": "SGD", "tanh": "SGD"}


@pytest.mark.proof
@pytest.mark.parametrize("name", UNKNOWN)
def test_a_rule_that_is_not_known_gets_no_name(name: str) -> None:
    began = time.process_time()
    answer = identify(returned(UNKNOWN[name], 0.01))
    assert time.process_time() - began < 5  # no other question takes longer
    assert (answer.exact, answer.wrong, answer.same) == (None, (), ())
    assert answer.title == NEAREST.get(name)
    assert (answer.share is None) == (answer.title is None)
    assert str(answer).startswith("No rule that is known")
    assert answer.properties


def test_nearest_says_how_near_and_where_it_differs() -> None:
    answer = identify(returned(UNKNOWN["Adam of clipped gradients"], 0.01))
    assert answer.title == "Adam"
    assert answer.share is not None
    assert 0.7 < answer.share < 0.8
    assert answer.where == "from step 2 on, only once |g| has been above 1"
    assert answer.numbers["b2"] == pytest.approx(0.999)


def test_every_term_that_can_be_wrong_has_words() -> None:
    for convention in CONVENTIONS:
        for rule in convention.rules():
            for edited in edits(rule):
                assert "".join(terms(edited, edited.differences(rule)))


class TestTheText:
    def test_a_named_rule(self) -> None:
        answer = identify(returned(RIGHT["RMSProp, ε inside"].rule, 0.01))
        first, *others = str(answer).splitlines()
        assert first == (
            "RMSProp: ν ← 0.95 ν + 0.05 g², ε = 1e-07 inside of the root, learning rate 0.01"
        )
        assert others[0].startswith("  keras.rmsprop(0.01, rho=0.95)  ")
        assert "  judged by 7,200 updates that were not used to find it" in others
        assert (
            "  gdmethods.rmsprop(0.01, decay=0.95, eps=1e-07) differs by more than" in others[-2]
        )
        assert others[-1].endswith("ε stands outside of the root")

    def test_a_wrong_term(self) -> None:
        answer = identify(returned(WRONG["no correction of v"].rule, 1e-3))
        assert str(answer).startswith("Adam, but v has no bias correction: m ← 0.9 m + 0.1 g,")
        (text,) = answer.differs
        assert text == "gdmethods.adam(0.001)"

    def test_a_rule_that_is_not_known(self) -> None:
        answer = identify(lambda: lambda w, g: w - 0.1 * np.arctan(g) ** 3 - 0.01 * (w - 2))
        assert answer.title is None
        assert "mean reverting to 2: without a gradient a step takes 0.01 of the way" in (
            answer.properties
        )
        assert "without memory: earlier gradients do not count" in answer.properties

    def test_a_constant_drift_reverts_to_nothing(self) -> None:
        """Its updates differ by rounding alone, of which a line can be made."""
        answer = identify(lambda: lambda w, g: w - 0.1 * np.arctan(g) ** 3 + 1e-3)
        assert answer.title is None
        assert not any("mean reverting" in each for each in answer.properties)


def decayed(beside: float, within: float) -> Callable[[], Any]:
    """Adam with a weight decay beside the update, and one in the gradient."""

    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, g: Any) -> Any:
            s.t += 1
            return w - 1e-3 * beside * w + adam(s, g + within * w, 1e-3, np)

        return step

    return make


def test_weight_decay_beside_the_update_is_adamw() -> None:
    answer = identify(decayed(0.05, 0.0))
    assert answer.exact == "adamw"
    assert answer.numbers["weight_decay"] == 0.05
    assert answer.same[0] == "gdmethods.adamw(0.001, weight_decay=0.05)"


def test_weight_decay_in_the_gradient_is_pytorchs() -> None:
    answer = identify(decayed(0.0, 0.01))
    assert answer.exact == "torch.adam"
    assert answer.numbers["weight_decay"] == 0.01
    assert answer.same == ("torch.adam(weight_decay=0.01)",)


def test_both_decays_together_are_none_that_is_known() -> None:
    answer = identify(decayed(0.05, 0.01))
    assert answer.exact is None
    assert answer.properties


def looking(ahead: float, outside: bool = False) -> Callable[[], Any]:
    def make() -> Any:
        velocity = 0.0

        def step(w: Any, grad: Any, lr: float) -> Any:
            nonlocal velocity
            scale = lr if outside else 1.0
            rate = 1.0 if outside else lr
            velocity = 0.9 * velocity - rate * grad(w + ahead * scale * velocity)
            return w + scale * velocity

        return step

    return make


def test_nesterov_by_a_function_for_the_gradient() -> None:
    answer = identify(looking(0.9))
    assert answer.exact == "nesterov"
    assert answer.same == ("gdmethods.nesterov(lr)",)
    assert "inside of the velocity" in answer.lines


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (looking(0.5), "the gradient is taken at w + 0.5 Δ"),
        (looking(0.9, outside=True), "the learning rate is outside of the velocity"),
    ],
)
def test_a_look_ahead_that_is_not_nesterovs(make: Callable[[], Any], wrong: str) -> None:
    answer = identify(make)
    assert (answer.exact, answer.title, answer.wrong) == (None, "Nesterov", (wrong,))
    assert answer.same == ()


TRANSFORMATIONS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "adam": (lambda: optax.adam(1e-3), "adam"),
    "adamw": (lambda: optax.adamw(1e-3), "adamw"),
    "nadam": (lambda: optax.nadam(1e-3), "nadam"),
    "lion": (lambda: optax.lion(1e-4), "lion"),
    "amsgrad": (lambda: optax.amsgrad(1e-3), "optax.amsgrad"),
    "irprop-": (lambda: gdmethods.rprop(0.05, 0.4, 1.3, 1e-4, 5.0), "rprop"),
    "rprop, a step late": (lambda: optax.rprop(0.1), None),
    "adabelief": (lambda: optax.adabelief(1e-3), None),
}
FEW = ["adamw", "irprop-"]


@pytest.mark.parametrize(
    "name",
    [*FEW, *(pytest.param(n, marks=pytest.mark.proof) for n in TRANSFORMATIONS if n not in FEW)],
)
def test_a_transformation_is_named(name: str) -> None:
    make, exact = TRANSFORMATIONS[name]
    assert identify(make).exact == exact


FACTORIES = {
    f"{library}.{name}": getattr(module, name)
    for library, module, names in (
        (
            "gdmethods",
            gdmethods,
            "sgd momentum nesterov adaptive_gains adagrad rmsprop adam adamw",
        ),
        ("gdmethods", gdmethods, "adadelta rprop"),
        ("torch", dialects.torch, "sgd adagrad adadelta rprop rmsprop adam adamw"),
        ("keras", dialects.keras, "sgd adagrad adadelta rmsprop adam adamw"),
        (
            "lecture",
            dialects.lecture,
            "momentum nesterov adaptive_gains adagrad rprop rmsprop adam",
        ),
    )
    for name in names.split()
}


@pytest.mark.proof
@pytest.mark.parametrize("name", FACTORIES)
def test_every_factory_is_itself(name: str) -> None:
    answer = identify(lambda: FACTORIES[name](0.02))
    assert answer.exact is not None
    assert any(text.startswith(f"{name}(0.02") for text in answer.same)


@pytest.mark.proof
def test_the_rprop_of_optax_is_told_to_be_late() -> None:
    answer = identify(lambda: optax.rprop(0.1))
    assert answer.title == "Rprop"
    assert answer.wrong == ("the update is that of the step before, but 0 where the sign turned",)
    assert answer.same == ("optax.rprop(0.1)",)


def test_a_step_of_float32_weights() -> None:
    answer = identify(lambda: gdmethods.adam(1e-3), dtype="float32")
    check(answer, RIGHT["Adam"], 1e-3)
    assert answer.same[0] == "gdmethods.adam(0.001)"


def test_a_rate_that_enters_twice() -> None:
    answer = identify(lambda: lambda w, g, lr: w - lr**2 * g)
    assert answer.exact is None
    assert answer.wrong == (
        "the updates are not in proportion to the learning rate that is given",
    )
    assert "the learning rate is 0.01 times the argument" not in answer.lines


def test_a_class_may_be_the_step() -> None:
    class Momentum:
        def __init__(self) -> None:
            self.v = 0.0

        def __call__(self, w: Any, g: Any) -> Any:
            self.v = 0.9 * self.v - 0.01 * g
            return w + self.v

    assert identify(Momentum).exact == "momentum"


def test_what_changes_after_the_probe_is_not_named() -> None:
    def make() -> Any:
        t = 0

        def step(w: Any, g: Any) -> Any:
            nonlocal t
            t += 1
            return w - (0.1 if t < 80 else 0.05) * g

        return step

    answer = identify(make)
    assert answer.exact is None
    assert answer.title == "SGD"
    assert answer.where.startswith("from step 80 on")


class TestRefusals:
    def test_noise(self) -> None:
        random = np.random.default_rng(0)
        with pytest.raises(ValueError, match=r"different updates, .* and .* at step 1\. identify"):
            identify(lambda: lambda w, g: w - g * random.uniform(0.9, 1.1))

    def test_state_that_make_does_not_begin_anew(self) -> None:
        velocity = np.zeros(())

        def step(w: Any, g: Any) -> Any:
            nonlocal velocity
            velocity = 0.9 * velocity + g
            return w - 0.1 * velocity

        with pytest.raises(ValueError, match=r"whose state make\(\) begins anew"):
            identify(lambda: step)

    def test_state_of_another_shape(self) -> None:
        def make() -> Any:
            velocity = np.zeros(3)

            def step(w: Any, g: Any) -> Any:
                velocity[...] = 0.9 * velocity + g
                return w - 0.1 * velocity

            return step

        with pytest.raises(ValueError, match="could not be broadcast") as caught:
            identify(make)
        assert any("A state with a fixed shape" in note for note in notes(caught.value))

    def test_more_than_the_weights(self) -> None:
        with pytest.raises(ValueError, match=r"returned shape \(2, \d+\) for weights of shape"):
            identify(lambda: lambda w, g: (w - g, g))

    def test_an_error_of_the_step_tells_what_it_was_asked(self) -> None:
        def make() -> Any:
            t = 0

            def step(w: Any, g: Any) -> Any:
                nonlocal t
                t += 1
                if t == 30:
                    raise ZeroDivisionError("at 30")
                return w - 0.1 * g

            return step

        with pytest.raises(ZeroDivisionError, match="at 30") as caught:
            identify(make)
        called = "identify called step(w, g) with NumPy arrays, at step 30 of the probe."
        assert called in notes(caught.value)

    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (optax.sgd(0.1), "is a transformation. Write lambda: before it"),
            (0.1, "is 0.1"),
            (optax.sgd, r"Write lambda: sgd\(…\)"),
            (lambda: 3, "returned 3"),
            (lambda: lambda w: w, "takes 1 arguments"),
        ],
    )
    def test_what_builds_no_step(self, make: Any, complaint: str) -> None:
        with pytest.raises(TypeError, match=complaint):
            identify(make)


def notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda w, g: w, "it does not move the weights"),
        (lambda w, g: w - 0.1 * abs(w) * g, "it does not move weights that are 0"),
        (lambda w, g: w + np.nan, "it gives inf or NaN always"),
    ],
)
def test_steps_of_which_no_rule_can_be_seen(step: Any, said: str) -> None:
    answer = identify(lambda: step)
    assert answer.title is None
    assert answer.properties[0] == said


def test_a_step_that_returns_the_update() -> None:
    answer = identify(lambda: lambda w, g: -0.1 * g)
    assert (answer.exact, answer.title) == (None, "SGD")
    assert answer.wrong == ("it returns the update and not the new weights",)
    assert answer.same == ()
    assert dict(answer.numbers) == {"learning_rate": 0.1}


def recorded(rule: Any, rate: float, steps: int = 60) -> tuple[Any, Any]:
    s, gradients = Kept(t=0), np.random.default_rng(0).normal(size=(steps, 3))
    updates = []
    for s.t, g in enumerate(gradients, 1):
        updates.append(rule(s, g, rate, np))
    return gradients, np.stack(updates)


class TestRecordedSteps:
    @pytest.mark.parametrize("name", ["Adam", "momentum", "gains", "Lion", "RMSProp, velocity"])
    def test_a_rule_is_named(self, name: str) -> None:
        written = RIGHT[name]
        numbers = {k: v for k, v in written.numbers.items() if k != "max_gain"}  # never reached
        if name == "Lion":
            numbers = {}  # many betas have the same signs
        answer = identify_updates(*recorded(written.rule, written.rate))
        check(answer, Written(written.rule, written.exact, numbers), 1e-8)
        assert answer.steps == 60

    def test_few_digits_tell_no_epsilon(self) -> None:
        rounded = np.vectorize(lambda v: float(f"{v:.5e}"))
        gradients, updates = map(rounded, recorded(adam, 1e-3))
        answer = identify_updates(gradients, updates, tolerance=1e-4)
        assert answer.exact == "adam"
        assert answer.numbers["eps"] == 0
        assert "no ε shows beside these gradients" in answer.notes

    def test_one_weight(self) -> None:
        gradients, updates = recorded(momentum, 0.1)
        assert identify_updates(gradients[:, 0], updates[:, 0]).exact == "momentum"

    def test_what_changes_in_the_last_third_is_not_named(self) -> None:
        gradients, updates = recorded(momentum, 0.1)
        updates[50:] *= 0.5
        answer = identify_updates(gradients, updates)
        assert answer.exact is None
        assert answer.where.startswith("from step 51 on")

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="must have one shape"):
            identify_updates(np.ones((9, 2)), np.ones(9))
        with pytest.raises(ValueError, match="6 steps at least are needed, got 4"):
            identify_updates(np.ones(4), np.ones(4))


MINE = """
def make():
    v = 0.0
    def step(w, g):
        nonlocal v
        v = 0.9 * v - 0.1 * g
        return w + v
    return step

def broken():
    return lambda w, g: w - unknown * g

def noisy(state=[0]):
    def step(w, g):
        state[0] += 1
        return w - state[0] * g
    return step
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_steps.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.usefixtures("here")
class TestTheProgram:
    def test_a_function(self, capsys: pytest.CaptureFixture[str]) -> None:
        program.main(["my_steps:make"])
        assert capsys.readouterr().out.startswith("Momentum: Δ ← 0.9 Δ − η g, learning rate 0.1\n")

    def test_a_file(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        gradients, updates = recorded(momentum, 0.1)
        rows = np.concatenate([gradients, updates], 1)
        header = ",".join(f"{letter}{k}" for letter in "gu" for k in (1, 2, 3))
        np.savetxt(here / "updates.csv", rows, "%.17g", ",", header=header, comments="")
        program.main(["--csv", "updates.csv"])
        assert capsys.readouterr().out.startswith("Momentum: Δ ← 0.9 Δ − η g, learning rate 0.1\n")

    def test_a_file_of_short_numbers(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        rows = [f"{g},{-0.1 * g:.1f}" for g in (1, 2, -1, 3, 1, 4, -2, 1, 0)]
        (here / "updates.csv").write_text("\n".join(["g,u", *rows]))
        program.main(["--csv", "updates.csv"])
        said = capsys.readouterr().out
        assert said.startswith("SGD: learning rate 0.1\n")
        assert "do not tell it from" not in said

    def test_an_error_of_the_step_comes_through(self) -> None:
        with pytest.raises(NameError, match="unknown"):
            program.main(["my_steps:broken"])

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([], "name a MODULE:FUNCTION, or a file with --csv FILE"),
            (["my_steps:make", "--csv", "updates.csv"], "name a MODULE:FUNCTION, or a file"),
            (["my_steps"], "must be a module and a function, as my_module:make"),
            (["my_steps:other"], "my_steps:other cannot be imported"),
            (["no_steps:make"], "no_steps:make cannot be imported"),
            (["my_steps:noisy"], "whose state make() begins anew"),
            (["--csv", "none.csv"], "cannot be read (No such file or directory)"),
            (["--csv", "my_steps.py"], "must have the columns g and u, or g1, u1, g2, u2, …"),
            (["--csv", "text.csv"], "has a row that is not a number for each column"),
            (["--csv", "words.csv"], "must have the columns g and u, or g1, u1, g2, u2, …"),
            (["--csv", "short.csv"], "6 steps at least are needed, got 1"),
            (["--csv", "header.csv"], "6 steps at least are needed, got 0"),
            (["--csv", "ragged.csv"], "has a row that is not a number for each column"),
            (["--csv", "empty.csv"], "must have the columns g and u, or g1, u1, g2, u2, …"),
            (["--dtype", "int8", "my_steps:make"], "invalid choice: 'int8'"),
        ],
    )
    def test_refusals_in_one_line(
        self,
        arguments: list[str],
        complaint: str,
        here: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (here / "words.csv").write_text("a,b\n1,2\n")
        (here / "short.csv").write_text("g,u\n1,2\n")
        (here / "header.csv").write_text("g,u\n")
        (here / "text.csv").write_text("g,u\n1,one\n")
        (here / "ragged.csv").write_text("g,u\n1,2\n3\n")
        (here / "empty.csv").write_text("")
        with pytest.raises(SystemExit) as ended:
            program.main(arguments)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("python -m gdmethods.testing.identify: ")
        assert complaint in line

    def test_help_fits_a_terminal(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit):
            program.main(["--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


ORDERS = (
    "import gdmethods.testing.identify; from gdmethods.testing import identify",
    "import gdmethods.testing.identify.__main__; from gdmethods.testing import identify",
)
FUNCTION = "; import sys; assert callable(identify), identify; assert 'torch' not in sys.modules"


def test_the_function_wins_over_its_package_in_every_order_of_imports() -> None:
    importlib.import_module("gdmethods.testing.identify")
    assert gdmethods.testing.identify is identify
    started = [subprocess.Popen([sys.executable, "-c", order + FUNCTION]) for order in ORDERS]
    assert [each.wait(timeout=60) for each in started] == [0, 0]


def test_the_program_runs_by_its_name(here: Path) -> None:
    """As `python -m`, with warnings that are errors, and quietly into a pipe that is closed."""
    done = subprocess.run(
        [sys.executable, "-m", "gdmethods.testing.identify", "my_steps:make"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(Path(gdmethods.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("Momentum: ")
    assert done.stderr == ""
