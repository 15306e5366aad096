"""What a wrong argument, a wrong tree or a wrong call is told: its name, and the way out."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import every_method

import gdmethods
import gdmethods.dialects


def refuses(error, *words):
    """The error, with all of these words in its message, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words)))


OUT_OF_RANGE = [
    (gdmethods.sgd, {"learning_rate": -0.1}),
    (gdmethods.momentum, {"learning_rate": -0.1}),
    (gdmethods.momentum, {"momentum": 1.5}),
    (gdmethods.momentum, {"momentum": -0.1}),
    (gdmethods.velocity, {"momentum": 1.5}),
    (gdmethods.nesterov, {"learning_rate": -0.1}),
    (gdmethods.nesterov, {"momentum": 1.5}),
    (gdmethods.nesterov_velocity, {"momentum": -0.1}),
    (gdmethods.adaptive_gains, {"learning_rate": -0.1}),
    (gdmethods.adaptive_gains, {"momentum": 1.5}),
    (gdmethods.adaptive_gains, {"increase": -0.05}),
    (gdmethods.adaptive_gains, {"decrease": 1.1}),
    (gdmethods.adaptive_gains, {"decrease": 0.0}),
    (gdmethods.adaptive_gains, {"min_gain": -1.0}),
    (gdmethods.scale_by_gains, {"decrease": 1.1}),
    (gdmethods.adagrad, {"learning_rate": -0.1}),
    (gdmethods.adagrad, {"eps": -1e-8}),
    (gdmethods.adagrad, {"eps_root": -1e-8}),
    (gdmethods.adagrad, {"initial_accumulator_value": -0.1}),
    (gdmethods.scale_by_rss, {"eps": -1e-8}),
    (gdmethods.adadelta, {"learning_rate": -0.1}),
    (gdmethods.adadelta, {"rho": 1.0}),
    (gdmethods.adadelta, {"eps": -1e-8}),
    (gdmethods.scale_by_adadelta, {"rho": -0.1}),
    (gdmethods.rprop, {"learning_rate": -0.1}),
    (gdmethods.rprop, {"eta_minus": 1.0}),
    (gdmethods.rprop, {"eta_minus": 0.0}),
    (gdmethods.rprop, {"eta_plus": 0.9}),
    (gdmethods.rprop, {"min_step_size": -1.0}),
    (gdmethods.rprop, {"max_step_size": -1.0}),
    (gdmethods.scale_by_rprop, {"eta_plus": 0.9}),
    (gdmethods.rmsprop, {"learning_rate": -0.1}),
    (gdmethods.rmsprop, {"decay": 1.0}),
    (gdmethods.rmsprop, {"eps": -1e-8}),
    (gdmethods.rmsprop, {"eps_root": -1e-8}),
    (gdmethods.rmsprop, {"initial_scale": -0.1}),
    (gdmethods.rmsprop, {"momentum": 1.5}),
    (gdmethods.scale_by_rms, {"decay": 1.0}),
    (gdmethods.adam, {"learning_rate": -0.1}),
    (gdmethods.adam, {"b1": 1.0}),
    (gdmethods.adam, {"b1": -0.1}),
    (gdmethods.adam, {"b2": 1.0}),
    (gdmethods.adam, {"eps": -1e-8}),
    (gdmethods.adam, {"eps_root": -1e-8}),
    (gdmethods.adamw, {"weight_decay": -0.1}),
    (gdmethods.adamw, {"learning_rate": -0.1}),
    (gdmethods.scale_by_adam, {"b2": 1.0}),
    (gdmethods.sutskever_momentum_schedule, {"max_momentum": 1.5}),
    (gdmethods.sutskever_momentum_schedule, {"max_momentum": -0.1}),
    (gdmethods.sutskever_momentum_schedule, {"period": 0}),
]
NEED_A_LEARNING_RATE = [
    gdmethods.momentum,
    gdmethods.nesterov,
    gdmethods.adaptive_gains,
    gdmethods.adagrad,
    gdmethods.rmsprop,
    gdmethods.adam,
    gdmethods.adamw,
]


def with_rate(factory, arguments):
    return {"learning_rate": 0.1} | arguments if factory in NEED_A_LEARNING_RATE else arguments


def describe(value):
    return getattr(value, "__name__", None) or str(value)


@pytest.mark.parametrize(("factory", "arguments"), OUT_OF_RANGE, ids=describe)
def test_out_of_range(factory, arguments):
    """As a number of Python, of NumPy and of JAX."""
    ((name, value),) = arguments.items()
    for concrete in (value, np.float64(value), jnp.float32(value)):
        with refuses(ValueError, name, "must be in"):
            factory(**with_rate(factory, {name: concrete}))


@every_method(lambda method: bool(method.hyperparameters))
@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), ValueError), ("0.1", TypeError), (0.1j, TypeError), (None, TypeError)],
    ids=str,
)
def test_no_number(method, value, error):
    arguments = inspect.signature(method.factory).parameters
    for name in method.hyperparameters:
        if value is None and "None" in arguments[name].annotation:
            continue  # it means none
        with refuses(error, name):
            method.build(**{name: value})


@every_method(lambda method: bool(method.hyperparameters))
def test_no_scalar(method):
    for name in method.hyperparameters:
        with refuses(ValueError, name, "scalar", "(3,)", "jax.vmap"):
            method.build(**{name: jnp.ones(3)})


@every_method(lambda method: bool(method.hyperparameters))
def test_a_tracer_is_not_checked(method):
    """Neither alone nor against another."""

    def build(value):
        for name in method.hyperparameters:
            method.build(**{name: value})
        return value

    jax.eval_shape(build, jax.ShapeDtypeStruct((), jnp.float32))


@pytest.mark.parametrize(
    ("factory", "arguments", "low", "high"),
    [
        (gdmethods.adaptive_gains, {"min_gain": 2.0, "max_gain": 1.0}, "min_gain", "max_gain"),
        (gdmethods.scale_by_gains, {"min_gain": 20.0}, "min_gain", "max_gain"),
        (gdmethods.rprop, {"min_step_size": 0.2}, "min_step_size", "learning_rate"),
        (gdmethods.rprop, {"max_step_size": 0.01}, "learning_rate", "max_step_size"),
    ],
)
def test_limits_in_the_wrong_order(factory, arguments, low, high):
    with refuses(ValueError, low, "must not exceed", high):
        factory(**with_rate(factory, arguments))


def test_an_infinite_upper_limit_is_none():
    gdmethods.adaptive_gains(0.1, max_gain=float("inf"))


@pytest.mark.parametrize(
    ("factory", "name", "choices"),
    [
        (gdmethods.rprop, "variant", ["rprop-", "rprop+", "irprop-", "irprop+"]),
        (gdmethods.scale_by_rprop, "variant", ["rprop-", "rprop+", "irprop-", "irprop+"]),
        (gdmethods.adaptive_gains, "agreement", ["gradient", "velocity"]),
        (gdmethods.scale_by_gains, "agreement", ["gradient", "velocity"]),
    ],
)
def test_an_unknown_choice_is_told_the_known_ones(factory, name, choices):
    with refuses(ValueError, name, *choices, "'other'"):
        factory(**with_rate(factory, {name: "other"}))


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (gdmethods.rmsprop, "centered"),
        (gdmethods.rmsprop, "bias_correction"),
        (gdmethods.adam, "bias_correction"),
        (gdmethods.scale_by_adam, "bias_correction"),
    ],
)
def test_a_flag_is_true_or_false(factory, name):
    with refuses(TypeError, name, "True or False"):
        factory(**with_rate(factory, {name: "no"}))


def test_the_first_step_size_of_rprop_is_no_schedule():
    with refuses(TypeError, "learning_rate", "first step size", "scale_by_schedule"):
        gdmethods.rprop(optax.constant_schedule(0.1))


@pytest.mark.parametrize(
    ("schedule", "error", "words"),
    [
        (lambda count: jnp.ones(3), ValueError, "shape (3,)"),
        (lambda count: None, TypeError, "NoneType"),
        (lambda count: optax.constant_schedule, TypeError, "function"),
        (lambda count: "0.1", TypeError, "str"),
    ],
    ids=["a vector", "None", "a factory", "a string"],
)
def test_a_schedule_returns_a_number(schedule, error, words):
    for factory, name in (
        (gdmethods.adam, "learning_rate"),
        (gdmethods.momentum, "momentum"),
        (gdmethods.nesterov, "momentum"),
        (gdmethods.adamw, "learning_rate"),
    ):
        arguments = with_rate(factory, {name: schedule})
        with refuses(error, f"{name} is a schedule that returned {words}"):
            tx = factory(**arguments)
            tx.update(PARAMS, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (gdmethods.sgd, "learning_rate"),
        (gdmethods.dialects.torch.adam, "lr"),
        (gdmethods.dialects.torch.adamw, "lr"),
        (gdmethods.dialects.keras.adam, "learning_rate"),
    ],
)
def test_what_a_callable_raises_names_the_hyperparameter_once(factory, name):
    def model(x):
        raise KeyError("kernel")

    tx = factory(model)
    with pytest.raises(KeyError, match="kernel") as caught:
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    (note,) = caught.value.__notes__
    assert note == f"{name} was taken for a schedule and called with the step count."


def test_only_rates_and_momenta_are_schedules():
    with refuses(TypeError, "b1", "number"):
        gdmethods.adam(0.1, b1=optax.constant_schedule(0.9))


@every_method(lambda method: method.accumulators + method.squares != ())
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.complex64, bool, "no dtype"], ids=str)
def test_accumulators_are_floating_point(method, dtype):
    with refuses(TypeError, "accumulator_dtype"):
        method.build(accumulator_dtype=dtype)


@every_method()
@pytest.mark.parametrize("leaf", [np.arange(3), np.array(True)], ids=["int", "bool"])
def test_leaves_that_no_gradient_moves(method, leaf):
    params = {"layer": {"kernel": jnp.ones(2), "index": jnp.asarray(leaf)}}
    with refuses(TypeError, "['layer']['index']", str(leaf.dtype)[:3], "optax.masked"):
        method.build().init(params)


@every_method(lambda method: method.refuses_complex)
def test_complex_leaves_have_no_sign(method):
    params = {"layer": [jnp.ones(2), jnp.ones(2, jnp.complex64)]}
    with refuses(TypeError, "['layer'][1]", "complex64", "sign", "optax.masked"):
        method.build().init(params)


PARAMS = {"layer": {"bias": np.ones(3, "f4"), "kernel": np.ones((2, 3), "f4")}}
MISFITS = {
    "a shape": (
        {"layer": {"bias": np.ones(3, "f4"), "kernel": np.ones((3, 2), "f4")}},
        ["['layer']['kernel']", "(3, 2)", "(2, 3)"],
    ),
    "a shape that broadcasts": (
        {"layer": {"bias": np.ones((), "f4"), "kernel": np.ones((1, 3), "f4")}},
        ["['layer']['bias']", "()", "(3,)"],
    ),
    "one too few": ({"layer": {"bias": np.ones(3, "f4")}}, ["['layer']['kernel']"]),
    "one too many": (
        {"layer": PARAMS["layer"] | {"scale": np.ones(3, "f4")}},
        ["['layer']['scale']"],
    ),
    "another name": (
        {"layer": {"bias": np.ones(3, "f4"), "weight": np.ones((2, 3), "f4")}},
        ["['layer']['kernel']"],
    ),
    "None": ({"layer": {"bias": None, "kernel": np.ones((2, 3), "f4")}}, ["['layer']['bias']"]),
    "a list": ([np.ones(3, "f4"), np.ones((2, 3), "f4")], ["['layer']['bias']"]),
}


@every_method()
def test_gradients_that_do_not_fit(method):
    """The path is that of the first leaf that differs."""
    tx = method.build()
    state = tx.init(PARAMS)
    for name, (gradients, words) in MISFITS.items():
        if name == "None" and method.bytes_per_weight == 0:
            continue  # a parameter without a gradient, and nothing is kept for it
        with refuses(ValueError, "gradients differ from the parameters", *words):
            tx.update(gradients, state, PARAMS, **method.extra_args(1.0))


@every_method(lambda m: m.accumulators + m.squares != () and not m.decays)
def test_gradients_that_do_not_fit_the_state(method):
    """Without parameters the state tells what they were."""
    tx = method.build()
    state = tx.init(PARAMS)
    for gradients, words in MISFITS.values():
        with refuses(ValueError, "gradients differ from the parameters", *words):
            tx.update(gradients, state, **method.extra_args(1.0))


@every_method()
def test_complex_gradients_of_a_real_parameter(method):
    """They come from a loss that is not real, and half of them would be lost in silence."""
    tx = method.build()
    gradients = {"layer": PARAMS["layer"] | {"bias": np.ones(3, "c8")}}
    with refuses(TypeError, "['layer']['bias']", "complex", "float32"):
        tx.update(gradients, tx.init(PARAMS), PARAMS, **method.extra_args(1.0))


class TestTheLossOfIrpropPlus:
    def test_missing(self):
        tx = gdmethods.rprop(variant="irprop+")
        with refuses(ValueError, "irprop+", "update(grads, state, params, value=loss)"):
            tx.update(PARAMS, tx.init(PARAMS), PARAMS)

    def test_missing_in_the_core(self):
        tx = gdmethods.scale_by_rprop(variant="irprop+")
        with refuses(ValueError, "irprop+", "update(grads, state, params, value=loss)"):
            tx.update(PARAMS, tx.init(PARAMS), PARAMS)

    def test_no_scalar(self):
        """One loss for each example would change the state's shape."""
        tx = gdmethods.rprop(variant="irprop+")
        with refuses(ValueError, "value", "scalar"):
            tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=jnp.ones(3))

    def test_the_other_variants_do_not_ask_for_it(self):
        tx = gdmethods.rprop(variant="irprop-")
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


class TestEvalParams:
    def test_without_a_nesterov_state(self):
        with refuses(ValueError, "NesterovState", "gdmethods.nesterov"):
            gdmethods.nesterov_eval_params(optax.adam(0.1).init(PARAMS), PARAMS)

    def test_of_other_parameters(self):
        state = gdmethods.nesterov(0.1).init(PARAMS)
        with pytest.raises(ValueError, match="other parameters"):
            gdmethods.nesterov_eval_params(state, {"layer": {"bias": np.ones(3, "f4")}})


@pytest.mark.parametrize(
    ("dtype", "meant"),
    [
        ("8-bit", 'Write "8bit"'),
        (jnp.uint8, 'Write "8bit"'),
        ("int8", 'Write "8bit"'),
        ("bf16", "Write jnp.bfloat16"),
        ("fp32", "Write jnp.float32"),
    ],
)
def test_a_dtype_by_another_name(dtype, meant):
    with refuses(TypeError, "accumulator_dtype must be", meant):
        gdmethods.adam(0.1, accumulator_dtype=dtype)


def test_a_dtype_of_pytorch():
    class Dtype:
        def __repr__(self):
            return "torch.bfloat16"

    with refuses(TypeError, "accumulator_dtype must be", "torch.bfloat16", "Write jnp.bfloat16"):
        gdmethods.adam(0.1, accumulator_dtype=Dtype())


@pytest.mark.parametrize("factory", [gdmethods.adam, gdmethods.momentum, gdmethods.nesterov])
def test_a_schedule_that_was_not_called(factory):
    with refuses(TypeError, "learning_rate", "call it: learning_rate=cosine_decay_schedule(…)"):
        factory(optax.cosine_decay_schedule)


@pytest.mark.parametrize("mask", ["w", {"w": 1}, {"w": jnp.array(True)}])
def test_a_mask_is_checked_when_it_is_given(mask):
    with refuses(TypeError, "mask must be a tree of bools", "holds"):
        gdmethods.adamw(0.1, mask=mask)


def test_gradients_of_integers():
    w = {"w": jnp.ones(2)}
    tx = gdmethods.adam(0.1)
    with refuses(TypeError, "gradient at ['w'] has dtype int32"):
        tx.update({"w": jnp.ones(2, jnp.int32)}, tx.init(w), w)


def test_no_parameters_at_all():
    with refuses(ValueError, "init was given None"):
        gdmethods.adam(0.1).init(None)


def test_a_number_in_the_place_of_parameters():
    with refuses(TypeError, "params holds the number 7000000000", "ShapeDtypeStruct"):
        gdmethods.state_bytes(gdmethods.adam(0.1), 7_000_000_000)


def test_the_loss_that_step_bytes_hands_on():
    w = jax.ShapeDtypeStruct((4,), jnp.float32)
    with refuses(ValueError, "compares losses") as caught:
        gdmethods.step_bytes(gdmethods.rprop(variant="irprop+"), w)
    assert "step_bytes(tx, params, value=0.0)" in caught.value.__notes__[0]


ROADS = {
    "from_optax": lambda tx, w, state: gdmethods.from_optax(w, tx, state),
    "convert_state": lambda tx, w, state: gdmethods.convert_state(w, tx, state),
    "init_from_float32": lambda tx, w, state: gdmethods.init_from_float32(w, tx),
    "master_params": lambda tx, w, state: gdmethods.master_params(w, state),
    "nesterov_eval_params": lambda tx, w, state: gdmethods.nesterov_eval_params(w, state),
    "state_bytes": lambda tx, w, state: gdmethods.state_bytes(w, tx),
    "step_bytes": lambda tx, w, state: gdmethods.step_bytes(w, tx),
}


@pytest.mark.parametrize("road", ROADS)
def test_arguments_in_the_wrong_order(road):
    w = jnp.ones(2, jnp.bfloat16)
    tx = gdmethods.with_float32_master(gdmethods.nesterov(0.1))
    with refuses(TypeError, "wrong order", f"write {road}("):
        ROADS[road](tx, w, tx.init(w))


def test_a_state_to_convert_of_another_method():
    w = jnp.ones(2)
    with refuses(TypeError, "MomentumState(velocity)", "AdamState(mu, nu)") as caught:
        gdmethods.convert_state(gdmethods.adam(0.1), w, gdmethods.momentum(0.1).init(w))
    assert "PyTreeDef" not in str(caught.value)


def test_an_epsilon_that_8_bits_do_not_tell_from_0_by_its_own_name():
    lecture = gdmethods.dialects.lecture
    for factory in (lecture.adam, lecture.adagrad, lecture.rmsprop):
        with refuses(ValueError, "eps must be 0 or at least"):
            factory(0.1, eps=1e-30, accumulator_dtype="8bit")
    with refuses(ValueError, "epsilon must be 0 or at least"):
        gdmethods.dialects.keras.rmsprop(epsilon=1e-30, accumulator_dtype="8bit")
