"""Runs of PyTorch and Keras as arrays that were saved, carried over without either library."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gdmethods
from gdmethods.dialects import keras, torch

# The arrays that each optimizer keeps of a parameter, in PyTorch's and in Keras' order.
TORCH: dict[str, tuple[Any, list[str]]] = {
    "sgd": (torch.sgd(momentum=0.9), ["momentum_buffer"]),
    "adagrad": (torch.adagrad(), ["sum"]),
    "adadelta": (torch.adadelta(), ["square_avg", "acc_delta"]),
    "rmsprop": (torch.rmsprop(momentum=0.9), ["square_avg", "momentum_buffer"]),
    "adam": (torch.adam(), ["exp_avg", "exp_avg_sq"]),
    "amsgrad": (torch.adamw(amsgrad=True), ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
}
KERAS: dict[str, tuple[Any, int]] = {
    "sgd": (keras.sgd(0.1), 0),
    "momentum": (keras.sgd(0.1, momentum=0.9), 1),
    "nesterov": (keras.sgd(0.1, momentum=0.9, nesterov=True), 1),
    "adagrad": (keras.adagrad(0.1), 1),
    "adadelta": (keras.adadelta(0.1), 2),
    "rmsprop": (keras.rmsprop(0.1, momentum=0.9), 2),
    "adam": (keras.adam(0.1), 2),
    "amsgrad": (keras.adam(0.1, amsgrad=True), 3),
}

shapes = st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=4)


@st.composite
def conversions(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], Callable[[Any], Any]]:
    """Shapes, and a function that turns, reshapes, splits, repeats and joins arrays of them."""
    kinds = draw(shapes)
    turns = [draw(st.permutations(range(len(shape)))) for shape in kinds]
    how = [draw(st.sampled_from(["turn", "flat", "split", "twice", "join"])) for _ in kinds]

    def convert(named: Any) -> Any:
        joined, tree = [], {}
        for (name, x), turn, do in zip(named.items(), turns, how, strict=True):
            x = x.transpose(turn)
            flat = x.reshape(-1)
            if do == "join":
                joined.append(flat)
            else:
                tree[name] = {
                    "turn": x,
                    "flat": jnp.asarray(flat),
                    "split": [flat[: x.size // 2], {"rest": flat[x.size // 2 :]}],
                    "twice": (x, flat),
                }[do]
        return tree | ({"joined": np.concatenate(joined)} if joined else {})

    return kinds, convert


def numbers(seed: int, kinds: list[tuple[int, ...]], dtype: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"array {i}": rng.normal(size=shape).astype(dtype) for i, shape in enumerate(kinds)}


def assert_identical(actual: Any, expected: Any) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


DTYPES = st.sampled_from([np.float64, np.float32, jnp.bfloat16])


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.sampled_from([*TORCH]), conversions(), DTYPES, st.integers(1, 10**6), st.data())
def test_there_and_back_is_the_identity_for_pytorch(
    method: str, conversion: Any, dtype: Any, steps: int, data: Any
) -> None:
    kinds, convert = conversion
    tx, fields = TORCH[method]
    weights = numbers(0, kinds, dtype)
    frozen = data.draw(st.sampled_from([*weights])) if len(weights) > 1 else None
    step = {} if method == "sgd" else {"step": np.float32(steps)}
    entries = {
        i: step | {field: numbers(j, kinds, dtype)[name] for j, field in enumerate(fields)}
        for i, name in enumerate(weights)
        if name != frozen
    }
    state_dict = {"state": entries, "param_groups": [{"params": [*range(len(kinds))]}]}
    with jax.enable_x64(dtype == np.float64):
        params, state = torch.from_state_dict(tx, weights, state_dict, convert)
        assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
        back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
    assert_identical(back, (weights, state_dict))


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    st.sampled_from([*KERAS]),
    conversions(),
    DTYPES,
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 3]),
)
def test_there_and_back_is_the_identity_for_keras(
    method: str,
    conversion: Any,
    dtype: Any,
    steps: int,
    has_rate: bool,
    use_ema: bool,
    gradient_accumulation_steps: int | None,
) -> None:
    kinds, convert = conversion
    tx, slots = KERAS[method]
    weights = numbers(0, kinds, dtype)
    options: Any = {"use_ema": use_ema, "gradient_accumulation_steps": gradient_accumulation_steps}
    variables: list[Any] = [np.int32(steps * (gradient_accumulation_steps or 1))]
    variables += [np.float32(0.1)] if has_rate else []
    variables += numbers(1, kinds, dtype).values() if use_ema else []
    if gradient_accumulation_steps:
        variables += [np.zeros(shape, dtype) for shape in kinds]
    interleaved = {"adadelta": 2, "adam": 2, "amsgrad": 2}.get(method, 1)
    for repeated in [interleaved] + [1] * (slots - interleaved) if slots else []:
        variables += [
            abs(x) for x in numbers(2, [k for k in kinds for _ in range(repeated)], dtype).values()
        ]
    with jax.enable_x64(dtype == np.float64):
        params, state = keras.from_variables(tx, weights, variables, convert, **options)
        assert state.count == steps
        assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
        back = keras.to_variables(tx, params, state, weights, variables, convert, **options)
    assert_identical(back, (weights, variables))


def saved(
    *fields: str, step: Any = 50, weights: Any = None, groups: int = 1
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Named weights and the state_dict of a run in PyTorch, as NumPy arrays."""
    rng = np.random.default_rng(0)
    weights = weights or {
        "0.weight": rng.normal(size=(3, 2)).astype(np.float32),
        "0.bias": np.zeros(3, np.float32),
    }
    entries = {
        i: ({} if step is None else {"step": step})
        | {field: rng.uniform(0.1, 1, x.shape).astype(np.float32) for field in fields}
        for i, x in enumerate(weights.values())
    }
    indices = np.array_split(np.arange(len(weights)), groups)
    options: list[dict[str, Any]] = [{"params": x.tolist()} for x in indices]
    for i, group in enumerate(options if groups > 1 else ()):
        group["lr"] = 0.1 * (i + 1)
    return weights, {"state": entries, "param_groups": options}


ADAM = ["exp_avg", "exp_avg_sq"]


def convert(named: Any) -> Any:
    return {"kernel": named["0.weight"].T, "bias": named["0.bias"]}


def refuses(error: type[Exception], *words: str) -> Any:
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words)))


def test_a_convert_that_drops_or_computes_names_the_first_array() -> None:
    weights, state_dict = saved(*ADAM)
    for broken, name in (
        (lambda named: {"bias": named["0.bias"]}, "0.weight"),
        (lambda named: {"kernel": named["0.weight"]}, "0.bias"),
        (lambda named: {"kernel": named["0.weight"][:2], "bias": named["0.bias"]}, "0.weight"),
        (lambda named: {"kernel": named["0.weight"], "bias": named["0.bias"] + 1}, "0.bias"),
        (lambda named: {"kernel": -named["0.weight"], "bias": named["0.bias"]}, "0.weight"),
        (lambda named: {"kernel": named["0.weight"] / 0.0, "bias": named["0.bias"]}, "0.weight"),
        (lambda named: {"kernel": named["0.weight"] * 1.0001, "b": named["0.bias"]}, "0.weight"),
    ):
        with (
            np.errstate(all="ignore"),
            refuses(ValueError, f"convert drops elements of '{name}', or computes with them"),
        ):
            torch.from_state_dict(torch.adam(), weights, state_dict, broken)
    for new in (np.zeros(2), np.ones(2), np.full(2, 0.5), np.full(2, np.nan)):
        with refuses(ValueError, "['s'] has elements that convert was not given"):
            torch.from_state_dict(
                torch.adam(), weights, state_dict, lambda named, x=new: convert(named) | {"s": x}
            )
    one = {"w": np.array([3.0])}
    with refuses(ValueError, "computes"):  # where the number of the element would fit
        torch.from_state_dict(
            torch.sgd(), one, saved(step=None, weights=one)[1], lambda named: named["w"] ** 2
        )


def test_a_convert_that_drops_imaginary_parts_is_refused() -> None:
    weights, state_dict = saved(weights={"w": np.array([1 + 2j, 3 - 1j], np.complex64)})
    with refuses(ValueError, "convert drops elements of 'w'"):
        torch.from_state_dict(torch.sgd(), weights, state_dict, lambda named: named["w"].real)


def test_what_convert_raises_is_told_what_it_was_given() -> None:
    weights, state_dict = saved(*ADAM)
    with pytest.raises(AttributeError) as caught:
        torch.from_state_dict(
            torch.adam(), weights, state_dict, lambda named: named["0.weight"].permute(1, 0)
        )
    (note,) = caught.value.__notes__
    assert note == "convert was given NumPy arrays under the names 0.weight, 0.bias."


def test_what_convert_casts_and_repeats() -> None:
    weights, state_dict = saved(*ADAM)

    def tied(named: Any) -> Any:
        return [named["0.weight"], convert(jax.tree.map(jnp.bfloat16, named))]

    params, state = torch.from_state_dict(torch.adam(), weights, state_dict, tied)
    assert params[1]["kernel"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(state.mu[0], state_dict["state"][0]["exp_avg"])
    np.testing.assert_array_equal(state.mu[1]["kernel"], state.mu[0].T)
    params[1]["kernel"] = params[0].T
    back = torch.to_state_dict(torch.adam(), params, state, weights, state_dict, tied)
    np.testing.assert_array_equal(back[0]["0.weight"], weights["0.weight"])
    params[1]["kernel"] = params[0].T.at[0, 1].add(1)
    with refuses(ValueError, "repeats elements of '0.weight', and at [0]", "differ"):
        torch.to_state_dict(torch.adam(), params, state, weights, state_dict, tied)


def test_more_elements_than_a_float_can_count() -> None:
    """bfloat16 counts to 256, and the conversion casts to it."""
    weights = {"w": np.arange(2.0**17, dtype=np.float32)}
    entries = {0: {"momentum_buffer": weights["w"][::-1]}}
    state_dict = {"state": entries, "param_groups": [{"params": [0]}]}
    _, state = torch.from_state_dict(
        torch.sgd(momentum=0.9), weights, state_dict, lambda named: jnp.bfloat16(named["w"][::-1])
    )
    np.testing.assert_array_equal(state.velocity, weights["w"])


@pytest.mark.proof
def test_more_elements_than_float32_can_count() -> None:
    weights = {"w": np.zeros(2**24 + 3, np.float32)}
    entries = {0: {"momentum_buffer": np.random.default_rng(0).normal(size=2**24 + 3)}}
    state_dict = {"state": entries, "param_groups": [{"params": [0]}]}
    _, state = torch.from_state_dict(
        torch.sgd(momentum=0.9), weights, state_dict, lambda named: jnp.float32(named["w"][::-1])
    )
    buffer = entries[0]["momentum_buffer"].astype(np.float32)
    np.testing.assert_array_equal(state.velocity, buffer[::-1])


TORCH_REFUSED: dict[str, tuple[Any, Any, type[Exception], list[str]]] = {
    "another optimizer": (
        torch.adam(),
        saved("square_avg"),
        ValueError,
        ["has square_avg of '0.weight'", "AdamState(mu, nu), needs exp_avg, exp_avg_sq"],
    ),
    "amsgrad that tx lacks": (
        torch.adam(),
        saved(*ADAM, "max_exp_avg_sq"),
        ValueError,
        ["exp_avg, exp_avg_sq, max_exp_avg_sq of '0.weight'"],
    ),
    "amsgrad in vain": (
        torch.adam(amsgrad=True),
        saved(*ADAM),
        ValueError,
        ["exp_avg, exp_avg_sq of '0.weight'", "needs exp_avg, exp_avg_sq, max_exp_avg_sq"],
    ),
    "momentum that tx lacks": (
        torch.sgd(),
        saved("momentum_buffer", step=None),
        ValueError,
        ["has momentum_buffer of '0.weight', but tx keeps no slot"],
    ),
    "momentum in vain": (
        torch.sgd(momentum=0.9),
        (saved()[0], {"state": {}, "param_groups": [{"momentum": 0, "params": [0, 1]}]}),
        ValueError,
        ["The optimizer has momentum=0 for '0.weight', and tx 0.9", "to another tx"],
    ),
    "another state": (
        gdmethods.momentum(0.1),
        saved("momentum_buffer", step=None),
        TypeError,
        ["tx keeps gdmethods.MomentumState", "gdmethods.dialects.torch.SGDState"],
    ),
    "no transformation": (
        torch.adam,
        saved(*ADAM),
        TypeError,
        ["tx must be a transformation"],
    ),
    "groups": (
        torch.adam(),
        saved(*ADAM, groups=2),
        ValueError,
        ["param_groups of different options", "optax.partition"],
    ),
    "too few parameters": (
        torch.adam(),
        (saved()[0], {"state": {}, "param_groups": [{"params": [0, 1, 2]}]}),
        ValueError,
        [
            "The optimizer has 3 parameters, and parameters are 2",
            "Pass all that",
            "frozen ones too",
        ],
    ),
    "one that the optimizer was not given": (
        torch.adam(),
        (saved()[0], {"state": {}, "param_groups": [{"params": [0]}]}),
        ValueError,
        ["has 1 parameters, and parameters are 2. Leave out those", "if p.requires_grad"],
    ),
    "other names": (
        torch.adam(),
        (saved()[0], {"state": {}, "param_groups": [{"params": [0, 1], "param_names": "ab"}]}),
        ValueError,
        ["without 'a'"],
    ),
    "the model's state_dict": (
        torch.adam(),
        (saved()[0], saved()[0]),
        TypeError,
        ["with state and param_groups", "optimizer.state_dict()"],
    ),
    "steps that differ": (
        torch.adam(),
        (
            saved()[0],
            {
                "state": {
                    i: {"step": 50 - i, "exp_avg": np.zeros(shape), "exp_avg_sq": np.zeros(shape)}
                    for i, shape in enumerate([(3, 2), 3])
                },
                "param_groups": [{"params": [0, 1]}],
            },
        ),
        ValueError,
        ["'0.weight' has had 50 steps and '0.bias' 49", "optax.partition"],
    ),
    "the order of another model": (
        torch.adam(),
        (dict(reversed(saved()[0].items())), saved(*ADAM)[1]),
        ValueError,
        ["exp_avg of '0.bias' has the shape (3, 2), and the parameter (3,)"],
    ),
    "a wrapper that changes shapes": (
        optax.flatten(torch.adam()),
        saved(*ADAM),
        ValueError,
        ["has the shape (9,)", "optax.flatten"],
    ),
}


@pytest.mark.parametrize(
    ("tx", "run", "error", "words"), TORCH_REFUSED.values(), ids=TORCH_REFUSED
)
def test_what_does_not_fit_pytorch(tx: Any, run: Any, error: Any, words: list[str]) -> None:
    with refuses(error, *words):
        torch.from_state_dict(tx, *run, convert)


# What PyTorch 2.13 has in its param_groups, but for options that choose how it runs.
GROUPS: dict[str, dict[str, Any]] = {
    "sgd": {
        "lr": 1e-3,
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
        "fused": None,
    },
    "adagrad": {
        "lr": 0.01,
        "lr_decay": 0,
        "eps": 1e-10,
        "weight_decay": 0,
        "initial_accumulator_value": 0,
        "maximize": False,
    },
    "adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0, "maximize": False},
    "rprop": {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50), "maximize": False},
    "rmsprop": {
        "lr": 0.01,
        "momentum": 0,
        "alpha": 0.99,
        "eps": 1e-8,
        "centered": False,
        "weight_decay": 0,
        "maximize": False,
    },
    "adam": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "decoupled_weight_decay": False,
    },
    "adamw": {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.01,
        "amsgrad": False,
        "maximize": False,
        "decoupled_weight_decay": True,
    },
}
SLOTS = {
    "sgd": [],
    "adagrad": ["sum"],
    "adadelta": ["square_avg", "acc_delta"],
    "rprop": ["step_size", "prev"],
    "rmsprop": ["square_avg"],
    "adam": ADAM,
    "adamw": ADAM,
}


def with_options(method: str, **options: Any) -> tuple[Any, Any]:
    weights, state_dict = saved(*SLOTS[method])
    if not SLOTS[method]:
        state_dict["state"] = {}
    (group,) = state_dict["param_groups"]
    group |= GROUPS[method] | options
    return weights, state_dict


@pytest.mark.parametrize("method", GROUPS)
def test_the_same_options_carry_over_without_a_warning(method: str) -> None:
    factory = getattr(torch, method)
    tx = factory()
    torch.from_state_dict(tx, *with_options(method), convert)
    labels = {"kernel": "a", "bias": "b"}
    for wrapped in (
        optax.chain(optax.clip_by_global_norm(1.0), tx),
        optax.inject_hyperparams(factory)(lr=GROUPS[method]["lr"]),
        gdmethods.with_float32_master(optax.MultiSteps(tx, 2)),
        optax.partition({"a": tx, "b": factory(**{"lr": GROUPS[method]["lr"]})}, labels),
    ):
        torch.from_state_dict(wrapped, *with_options(method), convert, count=50)


WRAPPERS: dict[str, Any] = {
    "alone": lambda tx: tx,
    "chain": lambda tx: optax.chain(optax.identity(), tx),
    "partition": lambda tx: optax.partition(
        {"a": torch.adam(), "b": tx}, {"kernel": "a", "bias": "b"}
    ),
    "master": gdmethods.with_float32_master,
    "injected": lambda tx: optax.inject_hyperparams(lambda unused: tx)(0.0),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_other_options_are_refused_in_any_wrapper(wrap: Any) -> None:
    tx = wrap(torch.adam(betas=(0.9, 0.99)))
    words = ["The optimizer has betas=(0.9, 0.999) for '0.", "and tx (0.9, 0.99)"]
    with refuses(ValueError, *words, "Build tx with the optimizer's options"):
        torch.from_state_dict(tx, *with_options("adam"), convert)


@pytest.mark.parametrize(
    ("method", "options", "changed", "words"),
    [
        ("sgd", {}, {"maximize": True}, "maximize=True"),
        ("adagrad", {}, {"eps": 1e-7}, "eps=1e-07"),
        ("adadelta", {"rho": 0.95}, {}, "rho=0.9"),
        ("rprop", {}, {"etas": (0.6, 1.2)}, "etas=(0.6, 1.2)"),
        ("rmsprop", {"alpha": 0.9}, {}, "alpha=0.99"),
        ("adam", {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}, ""),
        (
            "adamw",
            {"weight_decay": 0.1},
            {"weight_decay": 0.1, "decoupled_weight_decay": False},
            "",
        ),
    ],
)
def test_options_of_which_a_state_is_made(
    method: str, options: Any, changed: Any, words: str
) -> None:
    words = words or f"decoupled_weight_decay={changed['decoupled_weight_decay']}"
    with refuses(ValueError, f"The optimizer has {words} for"):
        torch.from_state_dict(
            getattr(torch, method)(**options), *with_options(method, **changed), convert
        )


def test_a_decay_of_0_is_the_same_coupled_and_decoupled() -> None:
    came = with_options("adam", decoupled_weight_decay=True)
    torch.from_state_dict(torch.adam(), *came, convert)
    torch.from_state_dict(torch.adamw(weight_decay=0.0), *came, convert)


def test_of_another_rate_or_decay_there_is_a_warning() -> None:
    came = with_options("adam", weight_decay=0.1)
    for tx, words in (
        (torch.adam(0.5, weight_decay=0.1), "lr=0.001 for '0.weight', and tx 0.5, with which"),
        (torch.adam(weight_decay=0.2), "weight_decay=0.1 for '0.weight', and tx 0.2"),
        (optax.chain(torch.adam(weight_decay=0.2)), "weight_decay=0.1"),
        (optax.inject_hyperparams(torch.adam)(0.5, weight_decay=0.1), "lr=0.001"),
    ):
        with pytest.warns(UserWarning, match=re.escape(words)) as caught:
            torch.from_state_dict(tx, *came, convert)
        (warning,) = caught
        assert warning.filename == __file__
    for tx in (
        torch.adam(falling, weight_decay=0.1),
        optax.inject_hyperparams(torch.adam)(falling, weight_decay=0.1),
        optax.inject_hyperparams(torch.adam)(1e-3, eps=falling, weight_decay=0.1),
    ):
        torch.from_state_dict(tx, *came, convert)
    with pytest.warns(UserWarning, match=r"learning_rate=0\.1.*and tx 0\.5"):
        keras.from_variables(keras.adagrad(0.5), *keras_run("accumulator"), convert)


@jax.enable_x64(True)
def test_a_changed_option_goes_on_from_the_state_of_before() -> None:
    """The way out of the refusal. In NumPy: aₜ = α aₜ₋₁ + (1 − α) g², Δ = −η g / (√aₜ + eps)."""
    weights, state_dict = with_options("rmsprop")
    _, state = torch.from_state_dict(torch.rmsprop(), weights, state_dict, convert)
    g = np.full(3, 0.5)
    a = 0.9 * state_dict["state"][1]["square_avg"].astype(float) + 0.1 * g**2
    grads = {"kernel": jnp.zeros((2, 3)), "bias": jnp.asarray(g)}
    updates, _ = torch.rmsprop(alpha=0.9).update(grads, state)
    np.testing.assert_allclose(updates["bias"], -0.01 * g / (np.sqrt(a) + 1e-8), rtol=1e-6)


def falling(count: Any) -> Any:
    return 0.1 / (1 + count)


def test_a_count_is_asked_for_where_an_update_reads_it() -> None:
    run = saved("momentum_buffer", step=None)
    for tx in (
        torch.sgd(falling, momentum=0.9),
        torch.sgd(momentum=0.9, dampening=0.5),
        optax.chain(torch.sgd(momentum=0.9), optax.scale_by_schedule(falling)),
    ):
        with refuses(ValueError, "has no count", "Pass count"):
            torch.from_state_dict(tx, *run, convert)
        _, state = torch.from_state_dict(tx, *run, convert, count=7)
        counts = optax.tree.get_all_with_path(state, "count")
        assert {int(count) for _, count in counts} == {7}
    _, state = torch.from_state_dict(torch.sgd(momentum=0.9), *run, convert)
    assert state.count == 0
    back = torch.to_state_dict(torch.sgd(momentum=0.9), convert(run[0]), state, *run, convert)
    assert_identical(back, run)


def test_a_schedule_beside_the_method_counts_as_it_does() -> None:
    tx = optax.chain(torch.adam(), optax.scale_by_schedule(falling))
    _, state = torch.from_state_dict(tx, *saved(*ADAM), convert)
    assert state[1].count == 50


def test_a_run_that_has_not_begun() -> None:
    weights, state_dict = saved()
    empty = state_dict | {"state": {}}
    params, state = torch.from_state_dict(torch.adam(), weights, empty, convert)
    assert_identical(state, torch.adam().init(params))
    back = torch.to_state_dict(torch.adam(), params, state, weights, empty, convert)
    assert_identical(back, (weights, empty))


def test_a_frozen_parameter_starts_anew() -> None:
    """It has no entry, or, of Adagrad, one at step 0."""
    weights, state_dict = saved("sum")
    tx = torch.adagrad(initial_accumulator_value=0.5)
    first = state_dict["state"].pop(0)
    for entry in ({}, {1: {"step": 0, "sum": np.full(3, 0.5, np.float32)}}):
        state_dict["state"] = {0: first} | entry
        params, state = torch.from_state_dict(tx, weights, state_dict, convert)
        assert state.count == 50
        np.testing.assert_array_equal(state.sum_of_squares["bias"], 0.5)
        back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
        assert_identical(back, (weights, state_dict))


def test_what_was_frozen_there_and_moved_here_goes_back() -> None:
    weights, state_dict = saved(*ADAM)
    del state_dict["state"][1]
    params, state = torch.from_state_dict(torch.adam(), weights, state_dict, convert)
    _, state = torch.adam().update(params | {"bias": jnp.ones(3)}, state, params)
    _, back = torch.to_state_dict(torch.adam(), params, state, weights, state_dict, convert)
    assert back["state"][1]["step"] == 51
    np.testing.assert_allclose(back["state"][1]["exp_avg"], 0.1, rtol=1e-6)


def test_groups_belong_to_a_partition() -> None:
    weights, state_dict = saved(*ADAM, groups=2)
    state_dict["state"][1]["step"] = 30
    labels = {"kernel": "slow", "bias": "fast"}
    tx = optax.partition({"slow": torch.adam(0.1), "fast": torch.adam(0.2)}, labels)
    params, state = torch.from_state_dict(tx, weights, state_dict, convert)
    slow, fast = (state.inner_states[label].inner_state for label in ("slow", "fast"))
    assert (slow.count, fast.count) == (50, 30)
    np.testing.assert_array_equal(slow.mu["kernel"], state_dict["state"][0]["exp_avg"].T)
    np.testing.assert_array_equal(fast.nu["bias"], state_dict["state"][1]["exp_avg_sq"])
    back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
    assert_identical(back, (weights, state_dict))

    def halves(named: Any) -> Any:
        upper, lower = named["0.weight"][:1], named["0.weight"][1:]
        return {"kernel": upper, "bias": [lower, named["0.bias"]]}

    params, _ = torch.from_state_dict(torch.adam(), weights, saved(*ADAM)[1], halves)
    tx = optax.partition({"slow": torch.adam(0.1), "fast": torch.adam(0.2)}, labels)
    with refuses(ValueError, "convert splits '0.weight' between parameters", "the same label"):
        torch.to_state_dict(tx, params, tx.init(params), weights, state_dict, halves)


def test_names_that_the_optimizer_knows_are_its_order() -> None:
    weights, state_dict = saved(*ADAM)
    state_dict["param_groups"][0]["param_names"] = [*weights]
    turned = dict(reversed(weights.items()))
    _, state = torch.from_state_dict(torch.adam(), turned, state_dict, convert)
    np.testing.assert_array_equal(state.mu["bias"], state_dict["state"][1]["exp_avg"])


@jax.enable_x64(True)
def test_groups_in_another_order_than_the_model() -> None:
    """The head's group stands first; in NumPy bₜ = μ bₜ₋₁ + g and Δ = −η bₜ."""
    weights = {"body": np.array([1.0, 2.0]), "head": np.array([3.0, 4.0]), "bias": np.ones(1)}
    buffers = {"head": np.array([0.5, 0.25]), "body": np.array([-1, 2.0]), "bias": np.array([8.0])}
    groups: list[Any] = [{"lr": 0.1, "params": [0]}, {"lr": 0.01, "params": [1, 2]}]
    entries = {i: {"momentum_buffer": b} for i, b in enumerate(buffers.values())}
    state_dict = {"state": entries, "param_groups": groups}
    tx = optax.partition(
        {"fast": torch.sgd(0.1, momentum=0.9), "slow": torch.sgd(0.01, momentum=0.9)},
        {"body": "slow", "head": "fast", "bias": "slow"},
    )
    optimizers_order = {name: weights[name] for name in buffers}
    for parameters in (weights, optimizers_order):  # which look alike
        first, second = (name for name in parameters if name != "bias")
        words = [f"'{first}' and '{second}' have the shape (2,)", "param_names"]
        with refuses(ValueError, *words):
            torch.from_state_dict(tx, parameters, state_dict, dict)
        with refuses(ValueError, *words):
            params = jax.tree.map(jnp.asarray, weights)
            torch.to_state_dict(tx, params, tx.init(params), parameters, state_dict, dict)
    groups[0]["param_names"], groups[1]["param_names"] = ["head"], ["body", "bias"]
    g = {name: np.full(w.shape, 0.5) for name, w in weights.items()}
    for parameters in (weights, optimizers_order):
        params, state = torch.from_state_dict(tx, parameters, state_dict, dict)
        updates, _ = tx.update(g, state, params)
        for name, rate in (("head", 0.1), ("bias", 0.01), ("body", 0.01)):
            expected = -rate * (0.9 * buffers[name] + g[name])
            np.testing.assert_allclose(updates[name], expected, rtol=1e-12)
        back = torch.to_state_dict(tx, params, state, parameters, state_dict, dict)
        assert_identical(back, (parameters, state_dict))


def test_groups_of_different_shapes_need_no_names() -> None:
    """As weights with a decay, and biases without one."""
    shapes = {"0.weight": (2, 2), "1.weight": (2, 2), "0.bias": 3, "1.bias": 3}
    weights = {name: np.ones(shape) for name, shape in shapes.items()}
    entries = {i: {"momentum_buffer": i * x} for i, x in enumerate(weights.values())}
    state_dict = {"state": entries, "param_groups": [{"params": [0, 1]}, {"params": [2, 3]}]}
    tx = torch.sgd(momentum=0.9)
    _, state = torch.from_state_dict(tx, weights, state_dict, dict)
    for i, name in enumerate(weights):
        np.testing.assert_array_equal(state.velocity[name], i)


def test_a_master_takes_the_weights_that_came() -> None:
    weights, state_dict = saved(*ADAM)
    for dtype in (jnp.bfloat16, jnp.float16):
        tx = gdmethods.with_float32_master(torch.adam())
        params, state = torch.from_state_dict(tx, weights, state_dict, convert, dtype=dtype)
        assert params["kernel"].dtype == dtype
        masters = gdmethods.master_params(state, params)
        np.testing.assert_array_equal(masters["kernel"], weights["0.weight"].T)
        np.testing.assert_allclose(params["kernel"].astype("f"), masters["kernel"], rtol=2**-8)
        assert state.inner_state.mu["kernel"].dtype == jnp.float32
        tx.update(params, state, params)
        back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
        assert_identical(back, (weights, state_dict))
        with refuses(TypeError, "dtype must be a real floating-point dtype"):
            torch.from_state_dict(tx, weights, state_dict, convert, dtype=jnp.int8)
        plain, _ = torch.from_state_dict(torch.adam(), weights, state_dict, convert, dtype=dtype)
        np.testing.assert_array_equal(plain["kernel"], weights["0.weight"].T.astype(dtype))


def test_of_rprop_the_signs_are_enough() -> None:
    weights, state_dict = saved("step_size", "prev")
    state_dict["state"][0]["prev"][0] = [0.0, -3.0]
    tx = torch.rprop()
    params, state = torch.from_state_dict(tx, weights, state_dict, convert)
    np.testing.assert_array_equal(state.sign["kernel"], [[0, 1, 1], [-1, 1, 1]])
    tx.update(params, state, params)
    _, back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
    np.testing.assert_array_equal(back["state"][0]["prev"], [[0, -1], [1, 1], [1, 1]])
    np.testing.assert_array_equal(
        back["state"][1]["step_size"], state_dict["state"][1]["step_size"]
    )


@jax.enable_x64(True)
def test_centered_rmsprop_keeps_a_variance_here() -> None:
    weights, state_dict = saved("square_avg", "grad_avg")
    theirs = state_dict["state"][0]
    theirs["square_avg"] += 1
    tx = torch.rmsprop(centered=True)
    params, state = torch.from_state_dict(tx, weights, state_dict, convert)
    variance = theirs["square_avg"] - theirs["grad_avg"] ** 2
    np.testing.assert_allclose(state.nu["kernel"], variance.T, rtol=1e-6)
    _, back = torch.to_state_dict(tx, params, state, weights, state_dict, convert)
    for field, x in theirs.items():
        np.testing.assert_allclose(back["state"][0][field], x, rtol=1e-6)


@pytest.mark.parametrize(("narrow", "error"), [(jnp.bfloat16, 2**-8), ("8bit", 0.2)])
def test_narrow_accumulators_are_filled_with_the_nearest(narrow: Any, error: float) -> None:
    run = saved(*ADAM)
    tx = gdmethods.adam(0.1, accumulator_dtype=narrow)
    params, state = torch.from_state_dict(tx, *run, convert)
    dtypes = [jax.tree.map(lambda x: x.dtype, each) for each in (state, tx.init(params))]
    assert dtypes[0] == dtypes[1]
    _, exact = torch.from_state_dict(gdmethods.adam(0.1), *run, convert)
    jax.tree.map(np.testing.assert_array_equal, state, gdmethods.convert_state(tx, params, exact))
    read = gdmethods.read_state(state)
    np.testing.assert_allclose(read.nu["kernel"], exact.nu["kernel"], rtol=error)
    _, back = torch.to_state_dict(tx, params, state, *run, convert)
    np.testing.assert_array_equal(back["state"][0]["exp_avg"], read.mu["kernel"].T)


def test_a_state_of_another_transformation_does_not_go_back() -> None:
    weights, state_dict = saved(*ADAM)
    params, state = torch.from_state_dict(torch.adam(), weights, state_dict, convert)
    with refuses(TypeError, "Pass the transformation that made the state"):
        torch.to_state_dict(torch.adagrad(), params, state, weights, state_dict, convert)
    with refuses(ValueError, "no elements of '0.bias'"):
        less = jax.tree.map(lambda x: x, {"kernel": params["kernel"]})
        torch.to_state_dict(
            torch.adam(), less, torch.adam().init(less), weights, state_dict, convert
        )
    twice = optax.chain(torch.adam(), torch.adam())
    with refuses(ValueError, "two states for '0.weight'"):
        torch.to_state_dict(twice, params, twice.init(params), weights, state_dict, convert)


class Variable(np.ndarray):
    """Of Keras, which has a name."""

    name: str


def keras_run(*names: str) -> tuple[dict[str, np.ndarray], list[Any]]:
    rng = np.random.default_rng(0)
    weights, _ = saved()
    variables: list[Any] = [np.int32(50), np.float32(0.1)]
    for name in names:
        for x in weights.values():
            variable = rng.normal(size=x.shape).astype(np.float32).view(Variable)
            variable.name = f"dense_{name}"
            variables.append(variable)
    return weights, variables


KERAS_REFUSED: dict[str, tuple[Any, Any, dict[str, Any], type[Exception], list[str]]] = {
    "another optimizer": (
        keras.sgd(momentum=0.9),
        keras_run("accumulator"),
        {},
        ValueError,
        ["variable 'dense_accumulator' came where tx keeps momentum of '0.weight'"],
    ),
    "too many": (
        keras.adam(),
        keras_run("momentum", "velocity", "velocity_hat"),
        {},
        ValueError,
        ["8 variables came", "AdamState(mu, nu), has 5 for 2 parameters, or one more"],
    ),
    "an average": (
        keras.adagrad(),
        keras_run("average", "accumulator"),
        {},
        ValueError,
        ["6 variables came", "use_ema"],
    ),
    "halfway": (
        keras.adagrad(),
        keras_run("gradient_accumulator", "accumulator"),
        {"gradient_accumulation_steps": 3},
        ValueError,
        ["iteration is 50, so that 2 of 3 gradients are accumulated"],
    ),
    "of PyTorch": (
        torch.sgd(momentum=0.9),
        keras_run("momentum"),
        {},
        TypeError,
        ["tx keeps gdmethods.dialects.torch.SGDState", "gdmethods.MomentumState"],
    ),
    "of Optax": (
        optax.adam(0.1),
        keras_run("momentum", "velocity"),
        {},
        TypeError,
        ["no state of gdmethods"],
    ),
}


@pytest.mark.parametrize(
    ("tx", "run", "options", "error", "words"), KERAS_REFUSED.values(), ids=KERAS_REFUSED
)
def test_what_does_not_fit_keras(
    tx: Any, run: Any, options: Any, error: Any, words: list[str]
) -> None:
    with refuses(error, *words):
        keras.from_variables(tx, *run, convert, **options)


@pytest.mark.parametrize(
    ("tx", "rows"),
    [
        (
            keras.adam(0.1, amsgrad=True),
            [("mu", 0), ("nu", 0), ("mu", 1), ("nu", 1), ("nu_max", 0), ("nu_max", 1)],
        ),
        (keras.adadelta(0.1), [("e_g", 0), ("e_x", 0), ("e_g", 1), ("e_x", 1)]),
        (
            keras.rmsprop(0.1, momentum=0.9),
            [("nu", 0), ("nu", 1), ("velocity", 0), ("velocity", 1)],
        ),
    ],
    ids=["amsgrad", "adadelta", "rmsprop"],
)
def test_the_order_of_the_variables(tx: Any, rows: list[tuple[str, int]]) -> None:
    """Keras subtracts RMSProp's momentum."""
    weights, _ = saved()
    numbered = [np.full([*weights.values()][j].shape, i) for i, (_, j) in enumerate(rows)]
    _, state = keras.from_variables(tx, weights, [50, 0.1, *numbered], convert)
    for i, (slot, j) in enumerate(rows):
        sign = -1 if slot == "velocity" else 1
        np.testing.assert_array_equal(getattr(state, slot)[("kernel", "bias")[j]], sign * i)


def test_the_peers_are_not_imported() -> None:
    for path in Path(gdmethods.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {name.split(".")[0] for name in names} & {"torch", "keras"}, path
