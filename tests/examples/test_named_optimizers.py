"""What the example says of its ten optimizers."""

import pytest

from examples.identify import OPTIMIZERS, main
from gdmethods.testing import identify

EXACT = {
    "course_rmsprop": "rmsprop",
    "course_nesterov": "nesterov",
    "character_rnn": "keras.adagrad",
    "handwriting": "keras.rmsprop",
    "averaged_momentum": "momentum",
}
WRONG = {
    "tsne": "0 counts as a minus sign: (g > 0) != (Δ > 0)",
    "bert": "m and v have no bias correction",
    "adam_from_zero": "the bias correction of m and v counts steps from 0",
    "rprop_with_a_memory": "the gradient that turned is not forgotten",
}
FEW = {"tsne", "bert", "course_nesterov"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in FEW else pytest.mark.proof) for n in OPTIMIZERS],
)
def test_an_optimizer_is_what_it_is_said_to_be(name: str) -> None:
    answer = identify(OPTIMIZERS[name])
    assert answer.exact == EXACT.get(name)
    assert WRONG.get(name, "") in "; ".join(answer.wrong)
    assert (answer.title is None) == (name == "belief")


def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--only", "course_rmsprop,averaged_momentum"])
    said = capsys.readouterr().out
    first, second = said.split("\n\n")
    assert first.startswith("# course_rmsprop: RMSProp as in")
    assert "\nMomentum: Δ ← 0.9 Δ − η g, learning rate 0.001\n" in second
    assert max(map(len, said.splitlines())) <= 80
