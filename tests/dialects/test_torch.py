"""The dialect against the real `torch.optim`, step by step in float64.

Corners of PyTorch that these runs hold us to: SGD's velocity starts as the first gradient, which
dampening leaves alone; Adagrad's lr_decay counts from 0; Rprop's first step is clipped to the
limits, and lr is read in that step only; AMSGrad takes the largest v before its correction.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
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
from gdmethods.dialects import torch as dialect

torch = pytest.importorskip("torch", reason="`make parity` installs Keras and PyTorch")

PEERS = {
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rprop": "Rprop",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}
OPTIONS: dict[str, dict[str, list[Any]]] = {
    "sgd": {
        "lr": [0.05],
        "momentum": [0.9],
        "dampening": [0.3],
        "weight_decay": [0.01],
        "nesterov": [True],
        "maximize": [True],
    },
    "adagrad": {
        "lr": [0.5],
        "lr_decay": [0.1],
        "weight_decay": [0.01],
        "initial_accumulator_value": [0.1],
        "eps": [1e-3],
        "maximize": [True],
    },
    "adadelta": {
        "lr": [0.5],
        "rho": [0.5],
        "eps": [1e-3],
        "weight_decay": [0.01],
        "maximize": [True],
    },
    "rprop": {
        "lr": [1e-8, 0.3, 100.0],
        "etas": [(0.7, 1.5)],
        "step_sizes": [(1e-3, 0.02)],
        "maximize": [True],
    },
    "rmsprop": {
        "lr": [0.1],
        # With 0.5 the variance of the constant gradient is 2⁻ᵗ, which PyTorch's subtraction loses.
        "alpha": [0.9],
        "eps": [1e-3],
        "weight_decay": [0.01],
        "momentum": [0.9],
        "centered": [True],
        "maximize": [True],
    },
    "adam": {
        "lr": [0.1],
        "betas": [(0.5, 0.9)],
        "eps": [1e-3],
        "weight_decay": [0.01],
        "amsgrad": [True],
        "maximize": [True],
        "decoupled_weight_decay": [True],
    },
    "adamw": {
        "lr": [0.1],
        "betas": [(0.5, 0.9)],
        "eps": [1e-3],
        "weight_decay": [0.1],
        "amsgrad": [True],
        "maximize": [True],
    },
}


def admitted(options: dict[str, Any]) -> bool:
    """PyTorch's own rule: nesterov needs a momentum, and no dampening."""
    return not options.get("nesterov") or ("momentum" in options and "dampening" not in options)


CASES = [
    (method, options)
    for method in PEERS
    for options in alone_and_in_pairs(OPTIONS[method])
    if admitted(options)
] + [
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "maximize": True}),
    ("sgd", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01, "maximize": True}),
    ("rmsprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.01, "maximize": True}),
]


def peer_trajectory(method: str, options: dict[str, Any], schedule: bool) -> np.ndarray:
    w = torch.tensor(START, requires_grad=True)
    optimizer = getattr(torch.optim, PEERS[method])([w], **options)
    (group,) = optimizer.param_groups
    rate = group["lr"]
    trajectory = []
    for count, gradient in enumerate(GRADIENTS):
        if schedule:
            group["lr"] = falling(rate, count)
        w.grad = torch.tensor(gradient)
        optimizer.step()
        trajectory.append(w.detach().numpy().copy())
    return np.stack(trajectory)


@pytest.mark.parametrize(("method", "options"), CASES, ids=str)
def test_the_numbers_of_pytorch(method: str, options: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        ours = trajectory(getattr(dialect, method)(**options))
    assert_same(ours, peer_trajectory(method, options, schedule=False))


def test_a_centered_state_is_carried_over() -> None:
    """PyTorch keeps ν and m, and we keep ν − m² and m."""
    options = {"lr": 0.1, "alpha": 0.9, "momentum": 0.9, "centered": True}
    tx = dialect.rmsprop(**options)
    w = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.RMSprop([w], **options)
    with jax.enable_x64(True):
        state, carried = tx.init(jnp.asarray(START)), None
        for t, gradient in enumerate(GRADIENTS):
            w.grad = torch.tensor(gradient)
            before = w.detach().numpy().copy()
            optimizer.step()
            _, state = tx.update(jnp.asarray(gradient), state)
            theirs = {name: x.numpy() for name, x in optimizer.state[w].items()}
            nu = state.nu + state.mu**2
            np.testing.assert_allclose(nu, theirs["square_avg"], rtol=1e-12)
            if carried is not None:
                updates, carried = tx.update(jnp.asarray(gradient), carried)
                moved = w.detach().numpy() - before
                np.testing.assert_allclose(updates, moved, rtol=1e-9, atol=1e-9)
            if t == 50:
                mean = jnp.asarray(theirs["grad_avg"])
                carried = state._replace(
                    nu=jnp.asarray(theirs["square_avg"]) - mean**2,
                    mu=mean,
                    velocity=jnp.asarray(theirs["momentum_buffer"]),
                )


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.9}),
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adagrad", {"lr_decay": 0.1}),
        ("adadelta", {}),
        ("rmsprop", {"momentum": 0.9}),
        ("adam", {}),
        ("adam", {"amsgrad": True, "weight_decay": 0.01}),
        ("adamw", {"weight_decay": 0.1}),
    ],
    ids=str,
)
def test_a_learning_rate_that_changes_on_the_way(method: str, options: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        ours = trajectory(
            getattr(dialect, method)(lr=lambda count: falling(0.1, count), **options)
        )
    assert_same(ours, peer_trajectory(method, {"lr": 0.1, **options}, schedule=True))


@pytest.mark.parametrize("method", PEERS)
def test_the_defaults_and_their_order_are_those_of_pytorch(method: str) -> None:
    ours = dict(inspect.signature(getattr(dialect, method)).parameters)
    own = ours.pop("accumulator_dtype")  # the one that no peer has
    assert (own.default, own.kind) == (None, own.KEYWORD_ONLY)
    theirs = inspect.signature(getattr(torch.optim, PEERS[method])).parameters
    assert {name: p.default or 0 for name, p in ours.items()} == {  # None for none
        name: theirs[name].default for name in ours
    }
    positional = [name for name, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [name for name in theirs if name in positional]
    for name in set(theirs) - set(ours) - {"params"}:
        with pytest.raises(TypeError, match=rf"torch\.{method} has no option '{name}', \w+ "):
            getattr(dialect, method)(**{name: True})
