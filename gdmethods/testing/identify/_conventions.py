"""The rules that have a name.

A convention is the rule of one library or paper. Its options are what users may
add, such as a velocity in RMSProp.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gdmethods.testing.identify._families import Rule


@dataclass(frozen=True)
class Convention:
    """Attributes:
    name: for tests, such as "adam" or "keras.adam".
    title: its usual name.
    rule: the rule without options.
    options: for each switch that is an option, its values.
    factory: the factory of this rule, as users call it.
    """

    name: str
    title: str
    rule: Rule
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    factory: str = ""

    @property
    def method(self) -> str:
        return self.name.rpartition(".")[2]

    def differences(self, rule: Rule) -> tuple[str, ...]:
        """The switches of `rule` that differ and are no option here."""
        return tuple(
            switch
            for switch in rule.differences(self.rule)
            if rule[switch] not in self.options.get(switch, ())
        )

    def rules(self) -> Iterator[Rule]:
        """With all choices of its options."""
        chosen = [self.rule]
        for switch, values in self.options.items():
            chosen += [rule.having(**{switch: value}) for rule in chosen for value in values]
        yield from chosen


_LINEAR, _ROOT, _RPROP = Rule("linear"), Rule("root"), Rule("rprop")
_ADAM = _ROOT.having(above="m", correction1="power", correction2="power")
_ADAGRAD = _ROOT.having(v="sum")
_VELOCITY = {"velocity": ("velocity",)}
_RMSPROP = {"velocity": ("velocity",), "centered": (True,)}

CONVENTIONS = (
    Convention("sgd", "SGD", _LINEAR, factory="gdmethods.sgd"),
    Convention(
        "momentum", "momentum", _LINEAR.having(velocity="velocity"), factory="gdmethods.momentum"
    ),
    Convention(
        "nesterov", "Nesterov", _LINEAR.having(velocity="nesterov"), factory="gdmethods.nesterov"
    ),
    Convention(
        "torch.sgd",
        "PyTorch's SGD with dampening",
        _LINEAR.having(velocity="velocity", dampening=True),
        factory="torch.sgd",
    ),
    Convention(
        "adaptive_gains",
        "adaptive gains",
        Rule("gains"),
        {"velocity": ("velocity",), "agreement": ("velocity",)},
        "gdmethods.adaptive_gains",
    ),
    Convention("adagrad", "AdaGrad", _ADAGRAD, {"starts": (True,)}, "gdmethods.adagrad"),
    Convention(
        "torch.adagrad",
        "PyTorch's AdaGrad with lr_decay",
        _ADAGRAD.having(falling=True),
        {"starts": (True,)},
        "torch.adagrad",
    ),
    Convention("keras.adagrad", "AdaGrad", _ADAGRAD.having(eps="inside"), {}, "keras.adagrad"),
    Convention("adadelta", "ADADELTA", Rule("adadelta"), {}, "gdmethods.adadelta"),
    Convention("rprop", "Rprop", _RPROP, {"turned": ("returns", "moves")}, "gdmethods.rprop"),
    Convention(
        "lecture.rprop",
        "Rprop as the lecture prints it",
        _RPROP.having(turned="moves", zero="shorten"),
        {},
        "lecture.rprop",
    ),
    Convention("rmsprop", "RMSProp", _ROOT, _RMSPROP, "gdmethods.rmsprop"),
    Convention("keras.rmsprop", "RMSProp", _ROOT.having(eps="inside"), _RMSPROP, "keras.rmsprop"),
    Convention("adam", "Adam", _ADAM, {}, "gdmethods.adam"),
    Convention("keras.adam", "Adam", _ADAM.having(eps="hat"), {}, "keras.adam"),
    Convention(
        "lecture.adam",
        "Adam as the lecture prints it",
        _ADAM.having(correction1="first", correction2="first", eps="inside"),
        {},
        "lecture.adam",
    ),
    Convention("amsgrad", "AMSGrad", _ADAM.having(largest="v"), {}, "torch.adam"),
    Convention("keras.amsgrad", "AMSGrad", _ADAM.having(largest="v", eps="hat"), {}, "keras.adam"),
    Convention("optax.amsgrad", "AMSGrad", _ADAM.having(largest="v̂"), {}, "optax.amsgrad"),
    Convention(
        "adamax",
        "Adamax",
        _ADAM.having(v="norm", correction2="none", eps="inside"),
        {},
        "optax.adamax",
    ),
    Convention("nadam", "NAdam", _ADAM.having(above="nadam"), {}, "optax.nadam"),
    Convention("sign_sgd", "sign descent", Rule("signs"), {}, "optax.sign_sgd"),
    Convention("lion", "Lion", Rule("signs").having(memory="mean"), {}, "optax.lion"),
)
