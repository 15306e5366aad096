"""A run of the real PyTorch goes on here, and goes on there again, against one that stayed.

50 steps there, carried over, 50 here; and 30 more there. The network has a convolution whose
output is flattened in another order here, so that the conversion of its weights is no copy.
"""

import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods.dialects import torch as dialect

torch = pytest.importorskip("torch", reason="`make parity` installs Keras and PyTorch")

STEPS = 50

RUNS: list[tuple[str, str, dict[str, Any]]] = [
    ("SGD", "sgd", {"lr": 0.01}),
    ("SGD", "sgd", {"lr": 0.01, "momentum": 0.9}),
    ("SGD", "sgd", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", "sgd", {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", "adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("Adadelta", "adadelta", {"lr": 0.5, "weight_decay": 0.01}),
    ("Rprop", "rprop", {"lr": 1e-3, "step_sizes": (1e-6, 0.01)}),
    ("RMSprop", "rmsprop", {"lr": 1e-3}),
    ("RMSprop", "rmsprop", {"lr": 1e-3, "momentum": 0.9}),
    ("RMSprop", "rmsprop", {"lr": 1e-3, "centered": True, "eps": 1e-3, "alpha": 0.9}),
    ("RMSprop", "rmsprop", {"lr": 1e-3, "centered": True, "eps": 1e-3, "momentum": 0.9}),
    ("Adam", "adam", {"lr": 1e-3}),
    ("Adam", "adam", {"lr": 1e-3, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", "adamw", {"lr": 1e-3, "weight_decay": 0.1}),
    ("AdamW", "adamw", {"lr": 1e-3, "amsgrad": True}),
]


def network(dtype: Any) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(18, 3)
    ).to(dtype)


def convert(named: Any) -> Any:
    """To channels last, as Flax has them."""
    linear = named["3.weight"].reshape(3, 2, 3, 3)
    return {
        "conv": {"kernel": named["0.weight"].transpose(2, 3, 1, 0), "bias": named["0.bias"]},
        "linear": {
            "kernel": linear.transpose(2, 3, 1, 0).reshape(18, 3),
            "bias": named["3.bias"],
        },
    }


def forward(params: Any, x: jax.Array) -> jax.Array:
    x = jax.lax.conv_general_dilated(
        x, params["conv"]["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jnp.tanh(x + params["conv"]["bias"][None, None, None]).reshape(x.shape[0], 18)
    return x @ params["linear"]["kernel"] + params["linear"]["bias"][None]


def batches(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3 * STEPS, 8, 1, 5, 5)).astype(dtype)
    return x, rng.normal(size=(3 * STEPS, 8, 3)).astype(dtype)


def there(model: Any, optimizer: Any, steps: range, dtype: Any) -> None:
    xs, ys = batches(dtype)
    for i in steps:
        optimizer.zero_grad()
        ((model(torch.tensor(xs[i])) - torch.tensor(ys[i])) ** 2).mean().backward()
        optimizer.step()


def here(tx: Any, params: Any, state: Any, steps: range, dtype: Any) -> Any:
    def loss(params: Any, x: Any, y: Any) -> Any:
        return jnp.mean((forward(params, x.transpose(0, 2, 3, 1)) - y) ** 2)

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    xs, ys = batches(dtype)
    select = slice(steps.start, steps.stop)
    with jax.default_matmul_precision("highest"):
        return jax.lax.scan(step, (params, state), (xs[select], ys[select]))[0]


def saved(model: Any, optimizer: Any) -> Any:
    """Through a file."""
    file = io.BytesIO()
    torch.save((dict(model.named_parameters()), optimizer.state_dict()), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def values(model: Any) -> Any:
    return convert({name: x.detach().numpy() for name, x in model.named_parameters()})


def assert_same(actual: Any, expected: Any, tolerance: float) -> None:
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("peer", "method", "options"), RUNS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_a_run_goes_on_here_and_there_again(
    peer: str, method: str, options: Any, dtype: str, tolerance: float
) -> None:
    with jax.enable_x64(dtype == "float64"):
        model = network(getattr(torch, dtype))
        optimizer = getattr(torch.optim, peer)(model.parameters(), **options)
        tx = getattr(dialect, method)(**options)
        there(model, optimizer, range(STEPS), dtype)
        half = saved(model, optimizer)
        params, state = dialect.from_state_dict(tx, *half, convert, count=STEPS)
        there(model, optimizer, range(STEPS, 2 * STEPS), dtype)
        params, state = here(tx, params, state, range(STEPS, 2 * STEPS), dtype)
        assert_same(params, values(model), tolerance)

        parameters, state_dict = dialect.to_state_dict(tx, params, state, *half, convert)
        again = network(getattr(torch, dtype))
        again.load_state_dict(parameters)
        resumed = getattr(torch.optim, peer)(again.parameters(), lr=123.0)
        resumed.load_state_dict(state_dict)
        there(model, optimizer, range(2 * STEPS, 2 * STEPS + 30), dtype)
        there(again, resumed, range(2 * STEPS, 2 * STEPS + 30), dtype)
        assert_same(values(again), values(model), tolerance)


@jax.enable_x64(True)
def test_a_run_goes_into_a_new_optimizer() -> None:
    """Which has no state yet to take names and shapes from."""
    model = network(torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)
    there(model, optimizer, range(20), "float64")
    tx = dialect.adam(amsgrad=True)
    params, state = dialect.from_state_dict(tx, *saved(model, optimizer), convert)
    again = network(torch.float64)
    resumed = torch.optim.Adam(again.parameters(), amsgrad=True)
    parameters, state_dict = dialect.to_state_dict(
        tx, params, state, dict(again.named_parameters()), resumed.state_dict(), convert
    )
    again.load_state_dict(parameters)
    resumed.load_state_dict(state_dict)
    there(model, optimizer, range(20, 40), "float64")
    there(again, resumed, range(20, 40), "float64")
    assert_same(values(again), values(model), 1e-15)


@jax.enable_x64(True)
@pytest.mark.parametrize(("peer", "method"), [("Adam", "adam"), ("Adagrad", "adagrad")])
def test_groups_and_a_frozen_parameter(peer: str, method: str) -> None:
    model = network(torch.float64)
    named = dict(model.named_parameters())
    named["0.bias"].requires_grad_(False)
    slow, fast = ([x for name, x in named.items() if name[0] == i] for i in "03")
    optimizer = getattr(torch.optim, peer)(
        [{"params": slow, "lr": 1e-3}, {"params": fast, "lr": 1e-2}]
    )
    build = getattr(dialect, method)
    tx = optax.partition(
        {"slow": build(1e-3), "fast": build(1e-2), "frozen": optax.set_to_zero()},
        {"conv": {"kernel": "slow", "bias": "frozen"}, "linear": "fast"},
    )
    there(model, optimizer, range(20), "float64")
    parameters, state_dict = saved(model, optimizer)
    if peer == "Adagrad":  # of whose frozen parameter tx keeps no slot
        del state_dict["state"][1]
    params, state = dialect.from_state_dict(tx, parameters, state_dict, convert)
    there(model, optimizer, range(20, 40), "float64")
    params, _ = here(tx, params, state, range(20, 40), "float64")
    assert_same(params, values(model), 1e-10)


def test_bfloat16_tensors_are_kept_to_the_bit() -> None:
    model = network(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters())
    for x in model.parameters():
        x.grad = torch.randn_like(x)
    optimizer.step()
    half = saved(model, optimizer)
    tx = dialect.adamw()
    params, state = dialect.from_state_dict(tx, *half, convert)
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"bfloat16"}
    back = dialect.to_state_dict(tx, params, state, *half, convert)
    for came, went in zip(jax.tree.leaves(back), jax.tree.leaves(half), strict=True):
        if isinstance(went, torch.Tensor):
            assert came.dtype == went.dtype
            assert torch.equal(came, went)


def test_steps_may_be_numbers() -> None:
    """As before PyTorch 1.12, and PyTorch takes them back."""
    model = network(torch.float32)
    optimizer = torch.optim.Adam(model.parameters())
    there(model, optimizer, range(5), "float32")
    parameters, state_dict = saved(model, optimizer)
    for entry in state_dict["state"].values():
        entry["step"] = int(entry["step"])
    tx = dialect.adam()
    params, state = dialect.from_state_dict(tx, parameters, state_dict, convert)
    assert state.count == 5
    _, back = dialect.to_state_dict(tx, params, state, parameters, state_dict, convert)
    assert back["state"][0]["step"] == 5
    optimizer.load_state_dict(back)
    there(model, optimizer, range(5, 6), "float32")
    assert optimizer.state_dict()["state"][0]["step"] == 6
