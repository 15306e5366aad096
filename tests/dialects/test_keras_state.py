"""A run of the real Keras goes on here, and goes on there again, against one that stayed.

50 steps there, carried over through a file, 50 here; and 30 more there. The weights of the last
layer are turned and split here, so that their conversion is no copy.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods.dialects import keras as dialect

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="`make parity` installs Keras and PyTorch")

# Keras 3.15 with NumPy 2.4, when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

STEPS = 50
RUNS: list[tuple[str, str, dict[str, Any]]] = [
    ("SGD", "sgd", {"learning_rate": 0.01}),
    ("SGD", "sgd", {"learning_rate": 0.01, "momentum": 0.9}),
    ("SGD", "sgd", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", "adagrad", {"learning_rate": 0.1}),
    ("Adadelta", "adadelta", {"learning_rate": 1.0}),
    ("RMSprop", "rmsprop", {"learning_rate": 1e-3}),
    ("RMSprop", "rmsprop", {"learning_rate": 1e-3, "momentum": 0.9}),
    ("RMSprop", "rmsprop", {"learning_rate": 1e-3, "centered": True, "epsilon": 1e-4}),
    (
        "RMSprop",
        "rmsprop",
        {"learning_rate": 1e-3, "centered": True, "momentum": 0.9, "epsilon": 1e-4},
    ),
    ("Adam", "adam", {"learning_rate": 1e-3}),
    ("Adam", "adam", {"learning_rate": 1e-3, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", "adamw", {"learning_rate": 1e-3, "weight_decay": 0.1}),
]


@pytest.fixture(autouse=True)
def _floatx(request: Any) -> Iterator[None]:
    dtype = request.node.callspec.params.get("dtype", "float32")
    with (
        jax.enable_x64(dtype == "float64"),
        jax.numpy_rank_promotion("allow"),
    ):  # Keras relies on it
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        yield
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: Any) -> Any:
        return falling(step)

    def get_config(self) -> dict[str, Any]:
        return {}


def falling(count: Any) -> Any:
    return 1e-3 / (1 + 0.1 * count)


def network(optimizer: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(6, activation="tanh"),
            keras.layers.Dense(3),
        ]
    )
    model.compile(optimizer, loss="mse")
    return model


def parameters(model: Any) -> dict[str, Any]:
    return {variable.path: variable for variable in model.trainable_variables}


def convert(named: Any) -> Any:
    first, bias, last, last_bias = named.values()
    return {
        "first": {"kernel": first, "bias": bias},
        "last": [{"kernel": last[:3].T}, {"kernel": last[3:].T}],
        "bias": last_bias,
    }


def forward(params: Any, x: jax.Array) -> jax.Array:
    x = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    halves = zip(jnp.split(x, 2, axis=1), params["last"], strict=True)
    return sum(half @ part["kernel"].T for half, part in halves) + params["bias"][None]


def batches() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    dtype = keras.config.floatx()
    x = rng.normal(size=(3 * STEPS, 8, 4)).astype(dtype)
    return x, rng.normal(size=(3 * STEPS, 8, 3)).astype(dtype)


def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((forward(params, x) - y) ** 2)


def there(model: Any, start: int, stop: int) -> None:
    """Trains by the model's optimizer."""
    optimizer, names = model.optimizer, [*parameters(model)]

    def step(carry: Any, batch: Any) -> Any:
        weights, variables = carry
        gradients = jax.grad(
            lambda weights: loss(convert(dict(zip(names, weights, strict=True))), *batch)
        )(weights)
        return optimizer.stateless_apply(variables, gradients, weights), None

    optimizer.build(model.trainable_variables)
    held = (model.trainable_variables, optimizer.variables)
    values = tuple([variable.value for variable in variables] for variables in held)
    selected = tuple(batch[start:stop] for batch in batches())
    for variables, new in zip(held, jax.lax.scan(step, values, selected)[0], strict=True):
        assign(variables, new)


def assign(variables: Any, values: Any) -> None:
    for variable, x in zip(variables, values, strict=True):
        variable.assign(x)


def here(tx: Any, params: Any, state: Any, start: int, stop: int) -> Any:
    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        gradients = jax.grad(loss)(params, *batch)
        updates, state = tx.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    selected = tuple(batch[start:stop] for batch in batches())
    return jax.lax.scan(step, (params, state), selected)[0]


def assert_same(actual: Any, expected: Any, tolerance: float) -> None:
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def goes_on(build: Any, tx: Any, tolerance: float, folder: Path, options: dict[str, Any]) -> None:
    """The run that goes over and back, against the run that stays in Keras."""
    model = network(build())
    there(model, 0, STEPS)
    model.save(folder / "half.keras")
    half = keras.models.load_model(folder / "half.keras", custom_objects={"Falling": Falling})
    there(model, STEPS, 2 * STEPS)
    params, state = dialect.from_variables(
        tx, parameters(half), half.optimizer.variables, convert, **options
    )
    params, state = here(tx, params, state, STEPS, 2 * STEPS)
    values = {name: np.asarray(v) for name, v in parameters(model).items()}
    assert_same(params, convert(values), tolerance)

    weights, variables = dialect.to_variables(
        tx, params, state, parameters(half), half.optimizer.variables, convert, **options
    )
    resumed = network(build())
    resumed.optimizer.build(resumed.trainable_variables)
    assign(resumed.trainable_variables, weights.values())
    assign(resumed.optimizer.variables, variables)
    there(model, 2 * STEPS, 2 * STEPS + 30)
    there(resumed, 2 * STEPS, 2 * STEPS + 30)
    for actual, expected in zip(
        resumed.trainable_variables, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)


@pytest.mark.parametrize(("peer", "method", "options"), RUNS, ids=str)
@PRECISIONS
def test_a_run_goes_on_here_and_there_again(
    peer: str, method: str, options: Any, dtype: str, tolerance: float, tmp_path: Path
) -> None:
    tx = getattr(dialect, method)(**options)
    build = getattr(keras.optimizers, peer)
    goes_on(lambda: build(**options), tx, tolerance, tmp_path, {})


@PRECISIONS
def test_a_schedule_has_no_variable(dtype: str, tolerance: float, tmp_path: Path) -> None:
    tx = dialect.adam(falling, amsgrad=True)
    goes_on(lambda: keras.optimizers.Adam(Falling(), amsgrad=True), tx, tolerance, tmp_path, {})


@PRECISIONS
def test_an_average_and_accumulators_stand_before_the_slots(
    dtype: str, tolerance: float, tmp_path: Path
) -> None:
    options = {"use_ema": True, "gradient_accumulation_steps": 2}
    tx = optax.MultiSteps(dialect.adam(1e-3), 2, accumulator_dtype=dtype)
    goes_on(lambda: keras.optimizers.Adam(1e-3, **options), tx, tolerance, tmp_path, options)
