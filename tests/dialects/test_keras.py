"""The dialect against the real `keras.optimizers` on JAX, step by step in float64.

Corners of Keras that these runs hold us to: weight decay moves the weights before the update and
is scaled by the learning rate of that step; Adam's ε is the paper's ε̂, so that it weighs more at
first; Adagrad's accumulator starts at 0.1; every ε but Adam's is inside of the root; SGD ignores
nesterov without a momentum, and refuses a momentum that is not a Python float.
"""

import inspect
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from dialects.gradients import (
    GRADIENTS,
    START,
    alone_and_in_pairs,
    assert_same,
    falling,
    trajectory,
)
from gdmethods.dialects import keras as dialect

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="`make parity` installs Keras and PyTorch")

PEERS = {
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "sgd": {
        "learning_rate": [0.05],
        "momentum": [0.9],
        "nesterov": [True],
        "weight_decay": [0.01],
    },
    "adagrad": {
        "learning_rate": [0.5],
        "initial_accumulator_value": [0.5],
        "epsilon": [1e-3],
        "weight_decay": [0.01],
    },
    "adadelta": {
        "learning_rate": [0.5],
        "rho": [0.5],
        "epsilon": [1e-3],
        "weight_decay": [0.01],
    },
    "rmsprop": {
        "learning_rate": [0.1],
        "rho": [0.5],
        "momentum": [0.9],
        "epsilon": [1e-3],
        "centered": [True],
        "weight_decay": [0.01],
    },
    "adam": {
        "learning_rate": [0.1],
        "beta_1": [0.5],
        "beta_2": [0.9],
        "epsilon": [1e-3],
        "amsgrad": [True],
        "weight_decay": [0.01],
    },
    "adamw": {
        "learning_rate": [0.1],
        "weight_decay": [0.1],
        "beta_1": [0.5],
        "beta_2": [0.9],
        "epsilon": [1e-3],
        "amsgrad": [True],
    },
}
CASES = [
    (method, options) for method in PEERS for options in alone_and_in_pairs(OPTIONS[method])
] + [("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01})]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        keras.config.set_floatx("float64")
        yield
        keras.config.set_floatx("float32")


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: Any) -> Any:
        return falling(0.1, step)


def peer_trajectory(method: str, options: dict[str, Any]) -> np.ndarray:
    optimizer = getattr(keras.optimizers, PEERS[method])(**options)
    w = keras.Variable(START, dtype="float64")
    optimizer.build([w])

    def step(state: Any, gradient: jax.Array) -> Any:
        w, variables = state
        (w,), variables = optimizer.stateless_apply(variables, [gradient], [w])
        return (w, variables), w

    variables = [variable.value for variable in optimizer.variables]
    return np.asarray(jax.lax.scan(step, (w.value, variables), GRADIENTS)[1])


@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
def test_the_numbers_of_keras(method: str, options: dict[str, Any]) -> None:
    ours = trajectory(getattr(dialect, method)(**options))
    assert_same(ours, peer_trajectory(method, options))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adagrad", {}),
        ("adadelta", {"weight_decay": 0.01}),
        ("rmsprop", {"momentum": 0.9, "weight_decay": 0.01}),
        ("adam", {"amsgrad": True}),
        ("adamw", {"weight_decay": 0.1}),
    ],
    ids=str,
)
def test_a_learning_rate_that_changes_on_the_way(method: str, options: dict[str, Any]) -> None:
    ours = trajectory(
        getattr(dialect, method)(learning_rate=lambda count: falling(0.1, count), **options)
    )
    assert_same(ours, peer_trajectory(method, {"learning_rate": Falling(), **options}))


@pytest.mark.parametrize("method", PEERS)
def test_the_defaults_and_their_order_are_those_of_keras(method: str) -> None:
    ours = dict(inspect.signature(getattr(dialect, method)).parameters)
    own = ours.pop("accumulator_dtype")  # the one that no peer has
    assert (own.default, own.kind) == (None, own.KEYWORD_ONLY)
    theirs = inspect.signature(getattr(keras.optimizers, PEERS[method])).parameters
    assert {name: p.default or 0 for name, p in ours.items()} == {  # None for none
        name: theirs[name].default or 0 for name in ours
    }
    assert list(ours) == [name for name in theirs if name in ours]
    for name in set(theirs) - set(ours) - {"kwargs"}:
        with pytest.raises(TypeError, match=rf"keras\.{method} has no option '{name}', \w+ "):
            getattr(dialect, method)(**{name: 1})
