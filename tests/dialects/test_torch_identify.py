"""Steps of PyTorch are named: those that people write, and `torch.optim` itself."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from handwritten import RIGHT, in_place, returned

from gdmethods.testing import identify

torch = pytest.importorskip("torch", reason="`make parity` installs Keras and PyTorch")

TENSORS = SimpleNamespace(
    sqrt=torch.sqrt, abs=torch.abs, sign=torch.sign, maximum=torch.maximum, where=torch.where
)


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("written", [returned, in_place])
def test_a_rule_over_tensors_is_named(name: str, written: Callable[..., Any]) -> None:
    rule = RIGHT[name]
    answer = identify(written(rule.rule, rule.rate, TENSORS))
    assert answer.exact == rule.exact
    assert answer.numbers["learning_rate"] == pytest.approx(rule.rate)
    for key, value in rule.numbers.items():
        assert answer.numbers[key] == pytest.approx(value)


def of_optim(name: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        optimizer: Any = None

        def step(w: Any, g: Any) -> None:
            nonlocal optimizer
            optimizer = optimizer or getattr(torch.optim, name)([w], **options)
            w.grad = g
            optimizer.step()

        return step

    return make


PEERS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "sgd": (of_optim("SGD", lr=0.1), "sgd"),
    "momentum": (of_optim("SGD", lr=0.1, momentum=0.9), "momentum"),
    "nesterov": (of_optim("SGD", lr=0.1, momentum=0.9, nesterov=True), "nesterov"),
    "dampening": (of_optim("SGD", lr=0.1, momentum=0.9, dampening=0.5), "torch.sgd"),
    "decay": (of_optim("SGD", lr=0.1, momentum=0.9, weight_decay=1e-2), "torch.sgd"),
    "adagrad": (of_optim("Adagrad", lr=0.02, lr_decay=1e-3), "torch.adagrad"),
    "adadelta": (of_optim("Adadelta"), "adadelta"),
    "rprop": (of_optim("Rprop"), "rprop"),
    "rmsprop": (of_optim("RMSprop"), "rmsprop"),
    "adam": (of_optim("Adam"), "adam"),
    "adam, L2": (of_optim("Adam", weight_decay=1e-2), "torch.adam"),
    "adamw": (of_optim("AdamW"), "adamw"),
    "amsgrad": (of_optim("Adam", amsgrad=True), "amsgrad"),
    "nadam, whose momentum is scheduled": (of_optim("NAdam"), None),
}


@pytest.mark.parametrize("name", PEERS)
def test_torch_optim_is_named(name: str) -> None:
    make, exact = PEERS[name]
    answer = identify(make)
    assert answer.exact == exact
    if exact:
        assert any(text.startswith("torch.") for text in answer.same)


def test_a_step_of_float32_tensors() -> None:
    answer = identify(of_optim("Adam"), dtype="float32")
    assert answer.exact == "adam"
    assert answer.numbers["b2"] == pytest.approx(0.999, rel=1e-4)
