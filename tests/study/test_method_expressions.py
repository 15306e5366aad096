"""`--methods`: which expressions name a factory, and what the others are told."""

import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import gdmethods
from gdmethods.study.methods import DEFAULT, MethodError, eval_params, labels, parse

PARAMS = {"w": jnp.array([1.0, -2.0])}
GRADIENTS = {"w": jnp.array([0.5, 4.0])}


def first_update(optimizer: optax.GradientTransformation) -> optax.Updates:
    return optimizer.update(GRADIENTS, optimizer.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optax.lion", optax.lion(0.25)),
        ("rmsprop", gdmethods.rmsprop(0.25)),
        ("gdmethods.adam(eps=1e-2, b1=0.5)", gdmethods.adam(0.25, b1=0.5, eps=1e-2)),
        ("gdmethods.rprop(variant='rprop-')", gdmethods.rprop(0.25, variant="rprop-")),
        (
            "gdmethods.momentum(momentum=optax.constant_schedule(value=0.5))",
            gdmethods.momentum(0.25, 0.5),
        ),
        ("optax.adam(mu_dtype=jax.numpy.bfloat16)", optax.adam(0.25, mu_dtype=jnp.bfloat16)),
        ("optax.adagrad(initial_accumulator_value=+1)", optax.adagrad(0.25, 1.0)),
        ("optax:lion", optax.lion(0.25)),
        ("optax.contrib:prodigy(betas=(0.5, 0.9))", optax.contrib.prodigy(0.25, (0.5, 0.9))),
    ],
)
def test_expression_builds_the_optimizer(
    text: str, expected: optax.GradientTransformation
) -> None:
    (method,) = parse(text)
    chex.assert_trees_all_equal(
        first_update(method.optimizer(learning_rate=0.25)), first_update(expected)
    )


def test_list_keeps_its_order_and_has_each_method_once() -> None:
    methods = parse("optax.adamw, adam(b1=0.5),")
    with pytest.raises(MethodError, match=r"gdmethods.adam\(b1=0.5\) is there twice"):
        parse("optax.adamw, adam(b1=0.5), gdmethods.adam( b1 = 0.5 )")
    assert [method.text for method in methods] == ["optax.adamw", "gdmethods.adam(b1=0.5)"]
    assert [*labels(methods).values()] == ["optax.adamw", "adam(b1=0.5)"]


def test_factories_of_a_notebook_join_the_expressions() -> None:
    methods = parse([optax.lion, "adam, sgd"])
    assert [*labels(methods).values()] == ["lion", "adam", "sgd"]


def test_a_label_has_the_modules_that_tell_methods_apart() -> None:
    methods = parse("optax.adam, optax.contrib.prodigy(betas=(0.5, 0.9)), optax.contrib:muon")
    assert [*labels(methods).values()] == ["optax.adam", "prodigy(betas=(0.5, 0.9))", "muon"]
    assert [*labels(parse([optax.lion, "optax.lion"])).values()] == ["lion", "optax.lion"]


def test_a_learning_rate_is_given_to_the_factory_and_left_out_of_the_label() -> None:
    nesterov, one, two = parse(
        "nesterov(learning_rate=0.5, momentum=0.8), optax.lion(learning_rate=1), "
        "optax.lion(learning_rate=2)"
    )
    assert [method.rate for method in (nesterov, one, two)] == [0.5, 1.0, 2.0]
    assert [*labels([nesterov, one]).values()] == ["nesterov(momentum=0.8)", "optax.lion"]
    assert [*labels([one, two]).values()] == [
        "optax.lion(learning_rate=1)",
        "optax.lion(learning_rate=2)",
    ]
    chex.assert_trees_all_equal(
        first_update(nesterov.optimizer(learning_rate=0.25)),
        first_update(gdmethods.nesterov(0.25, 0.8)),
    )
    assert nesterov.tunable({"momentum": [0.1]}) == {}


def test_what_can_be_tuned_starts_at_its_default() -> None:
    tune = {"momentum": [0.5, 0.9], "b1": [0.3, 0.8]}
    starts = [
        method.tunable(tune)
        for method in parse("momentum, momentum(momentum=0.7), adam, optax.sgd, sgd")
    ]
    assert starts == [{"momentum": 0.9}, {}, {"b1": 0.9}, {"momentum": 0.5}, {}]


def test_default_is_all_methods_in_the_lectures_order() -> None:
    names = [method.text.split("(")[0].removeprefix("gdmethods.") for method in parse(DEFAULT)]
    aliases = [
        "sgd",
        "momentum",
        "nesterov",
        "adaptive_gains",
        "adagrad",
        "adadelta",
        "rprop",
        "rmsprop",
        "adam",
    ]
    assert names == aliases


def test_factory_of_ones_own_and_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_methods.py").write_text(
        "import optax\n"
        "__version__ = '7.1'\n"
        "def clipped(learning_rate, limit):\n"
        "    return optax.chain(optax.clip(limit), optax.sgd(learning_rate))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        (method,) = parse("my_methods.clipped(limit=1.0)")
    finally:
        sys.modules.pop("my_methods", None)
    chex.assert_trees_all_close(
        first_update(method.optimizer(learning_rate=0.5)), {"w": jnp.array([-0.25, -0.5])}
    )
    assert method.versions == {"my_methods": "7.1"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no method; the default is gdmethods.sgd"),
        ("optax.adam(", "'optax.adam(' has a '(' that is not closed"),
        ("optax.adam)", "'optax.adam)' has a ')' that is not opened"),
        ("optax adam", "'optax adam' is no list of factories"),
        (
            "optax.adamm",
            "optax.adamm cannot be imported (module 'optax' has no attribute 'adamm')",
        ),
        (
            "no_such_package.adam",
            "no_such_package.adam cannot be imported (No module named 'no_such_package')",
        ),
        ("optax.__version__", "optax.__version__ is no factory of optimizers, but '"),
        ("optax.adam(0.1)", "optax.adam(0.1) has an argument without a name; write name=value"),
        ("optax.adam(**{})", "has ** in it; write each argument as name=value"),
        ("optax.adam(beta=0.5)", "cannot be called with a learning_rate (got an unexpected"),
        ("optax.scale_by_adam", "cannot be called with a learning_rate (got an unexpected"),
        ("sgd(learning_rate=0)", "sgd(learning_rate=0): learning_rate must be a positive number"),
        ("sgd(learning_rate='0.1')", "learning_rate must be a positive number; for a schedule,"),
        ("sgd(learning_rate=optax.constant_schedule(value=1))", "write a factory of your own"),
        ("adam(learning_rate=1, beta=2)", "cannot be called with a learning_rate (got an unexp"),
        ("[1][0]", "'[1][0]' is no importable name; write, for example, optax.adamw"),
        ("optax.adam(b1=1 + 1)", "'1 + 1' is no importable name"),
        (
            "momentum(momentum=gdmethods.sutskever_momentum_schedule(period=0))",
            "sutskever_momentum_schedule(period=0): period must be in (0, inf), got 0",
        ),
    ],
)
def test_complaint_names_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(MethodError) as error:
        parse(text)
    assert complaint in str(error.value)


def test_weights_to_measure_are_those_that_the_method_keeps() -> None:
    def stepped(optimizer: optax.GradientTransformation) -> tuple[optax.OptState, optax.Params]:
        params, state = PARAMS, optimizer.init(PARAMS)
        for _ in range(3):
            updates, state = optimizer.update(GRADIENTS, state, params)
            params = optax.apply_updates(params, updates)
        return state, params

    for optimizer, expected in (
        (optax.chain(optax.clip(1.0), gdmethods.nesterov(0.1)), gdmethods.nesterov_eval_params),
        (optax.contrib.schedule_free_sgd(0.1), optax.contrib.schedule_free_eval_params),
    ):
        state, params = stepped(optimizer)
        weights = eval_params(state, params)
        chex.assert_trees_all_equal(weights, expected(state, params))
        assert not jnp.allclose(weights["w"], params["w"])

    state, params = stepped(gdmethods.adam(0.1))
    assert eval_params(state, params) is params
    assert jax.tree.structure(params) == jax.tree.structure(PARAMS)
