"""The public surface as a list, and each signature as a table; what is documented is run."""

import doctest
import importlib
import inspect
import pkgutil
import unicodedata

import pytest

import gdmethods
from gdmethods import dialects, rules, study, testing
from gdmethods._engine.public_name import public_name

NAMES = [
    "SGDState",
    "scale_by_learning_rate",
    "sgd",
    "MomentumState",
    "momentum",
    "sutskever_momentum_schedule",
    "velocity",
    "NesterovState",
    "nesterov",
    "nesterov_eval_params",
    "nesterov_velocity",
    "AdaptiveGainsState",
    "adaptive_gains",
    "scale_by_gains",
    "AdaGradState",
    "adagrad",
    "scale_by_rss",
    "AdaDeltaState",
    "adadelta",
    "scale_by_adadelta",
    "RpropState",
    "rprop",
    "scale_by_rprop",
    "RMSPropState",
    "rmsprop",
    "scale_by_rms",
    "AdamState",
    "adam",
    "adamw",
    "scale_by_adam",
    "Float32MasterState",
    "with_float32_master",
    "init_from_float32",
    "master_params",
    "StochasticRoundingState",
    "with_stochastic_rounding",
    "read_state",
    "convert_state",
    "StateRange",
    "state_ranges",
    "SkipNonfiniteStepsState",
    "skip_nonfinite_steps",
    "from_optax",
    "state_bytes",
    "StepBytes",
    "step_bytes",
]
FIELDS = {
    "SGDState": "count",
    "MomentumState": "count velocity",
    "NesterovState": "count velocity next_momentum",
    "AdaptiveGainsState": "count gains velocity sign",
    "AdaGradState": "count sum_of_squares",
    "AdaDeltaState": "count e_g e_x",
    "RpropState": "count step_sizes sign value",
    "RMSPropState": "count nu mu velocity",
    "AdamState": "count mu nu",
    "Float32MasterState": "remainder master inner_state",
    "StochasticRoundingState": "rounding_count narrowest inner_state",
    "StateRange": "zero floor top",
    "SkipNonfiniteStepsState": "notfinite_count total_notfinite inner_state",
    "StepBytes": "kernels moved least temporaries communicated cycles",
}
ACCUMULATOR = "accumulator_dtype=None"
GAINS = (
    f"*, increase=0.05, decrease=0.95, min_gain=0.1, max_gain=10.0, agreement='gradient', "
    f"{ACCUMULATOR}"
)
STEP_SIZES = (
    "learning_rate=0.1, eta_minus=0.5, eta_plus=1.2, min_step_size=1e-06, max_step_size=50.0, "
    f"*, variant='irprop-', {ACCUMULATOR}"
)
SIGNATURES = {
    "scale_by_learning_rate": "learning_rate",
    "sgd": "learning_rate",
    "momentum": f"learning_rate, momentum=0.9, *, {ACCUMULATOR}",
    "sutskever_momentum_schedule": "max_momentum=0.99, period=250",
    "velocity": f"momentum=0.9, *, {ACCUMULATOR}",
    "nesterov": f"learning_rate, momentum=0.9, *, {ACCUMULATOR}",
    "nesterov_eval_params": "opt_state, params",
    "nesterov_velocity": f"momentum=0.9, *, {ACCUMULATOR}",
    "adaptive_gains": f"learning_rate, momentum=None, {GAINS}",
    "scale_by_gains": f"momentum=None, {GAINS}",
    "adagrad": (
        f"learning_rate, *, eps=1e-10, eps_root=0.0, initial_accumulator_value=0.0, {ACCUMULATOR}"
    ),
    "scale_by_rss": (f"*, eps=1e-10, eps_root=0.0, initial_accumulator_value=0.0, {ACCUMULATOR}"),
    "adadelta": f"learning_rate=1.0, rho=0.95, eps=1e-06, *, {ACCUMULATOR}",
    "scale_by_adadelta": f"rho=0.95, eps=1e-06, *, {ACCUMULATOR}",
    "rprop": STEP_SIZES,
    "scale_by_rprop": STEP_SIZES,
    "rmsprop": (
        "learning_rate, decay=0.9, eps=1e-08, *, eps_root=0.0, initial_scale=0.0, "
        f"centered=False, momentum=None, bias_correction=False, {ACCUMULATOR}"
    ),
    "scale_by_rms": (
        "decay=0.9, eps=1e-08, *, eps_root=0.0, initial_scale=0.0, centered=False, "
        f"bias_correction=False, {ACCUMULATOR}"
    ),
    "adam": (
        "learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, *, bias_correction=True, "
        f"{ACCUMULATOR}"
    ),
    "adamw": (
        "learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, *, weight_decay=0.0001, "
        f"mask=None, bias_correction=True, {ACCUMULATOR}"
    ),
    "scale_by_adam": (
        f"b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0, *, bias_correction=True, {ACCUMULATOR}"
    ),
    "with_float32_master": "inner, *, remainder=True",
    "init_from_float32": "tx, params, mask=True",
    "master_params": "opt_state, params",
    "with_stochastic_rounding": "inner",
    "read_state": "state",
    "state_ranges": "state",
    "convert_state": "tx, params, state",
    "skip_nonfinite_steps": "inner, max_consecutive_errors, *, check_updates=False",
    "from_optax": "tx, params, state, *, learning_rate=None, count=None",
    "state_bytes": "tx, params, sharding=None",
    "step_bytes": ("tx, params, sharding=None, *, device=None, gradient_dtype=None, **extra_args"),
}


STUDY = ["Problem", "ProblemError", "Study", "study"]

TESTING = [
    "CLAIMED",
    "LAWS",
    "Answer",
    "ContractReport",
    "Outcome",
    "Verdict",
    "assert_contract",
    "check_contract",
    "check_law",
    "every_law",
    "identify",
    "identify_updates",
]
LAWS = [
    "purity",
    "fresh_init",
    "abstract_init",
    "extra_args",
    "jit_equals_eager",
    "vmap_equals_loop",
    "scan_equals_loop",
    "one_compilation",
    "donation",
    "sharding",
    "checkpoint",
    "non_finite_step",
    "tree_kinds",
    "shapes",
    "elementwise",
    "update_dtypes",
    "state_dtypes",
    "narrow_weights",
    "complex_leaves",
    "no_lag",
    "zero_gradient",
    "sign_symmetry",
    "long_walk",
    "counts",
    "scale_invariance",
    "descends",
    "wide_updates",
    "rounds_stochastically",
    "bounded_steps",
]


RULES = [
    "optimizer",
    "core",
    "decayed",
    "rule_of",
    "LeafState",
    "StepState",
    "Count",
    "Number",
    "Signed",
    "Positive",
    "Square",
    "Sign",
    "Rate",
    "Momentum",
    "MomentumOrNone",
    "Decay",
    "NonNegative",
    "NonNegativeOrNone",
    "Eps",
    "EpsRoot",
    "Scalar",
    "ScalarOrSchedule",
    "at",
    "is_zero",
    "ordered",
    "scalar",
    "squarable",
    "square",
    "positive",
    "root",
    "divide",
    "sqrt",
    "sign",
    "representable",
    "one_minus_power",
]


def test_the_words_for_rules():
    assert rules.__all__ == RULES
    functions = [
        getattr(rules, name) for name in RULES if inspect.isfunction(getattr(rules, name))
    ]
    assert len(functions) == 15
    assert all(function.__doc__ for function in functions)


def test_the_checker():
    assert testing.__all__ == TESTING
    assert list(testing.LAWS) == LAWS
    lines = str(testing.LAWS).splitlines()
    assert [line.partition(": ")[0] for line in lines] == LAWS
    assert all(line.endswith(".") for line in lines)
    for check in (testing.check_contract, testing.assert_contract, testing.every_law):
        assert bare_signature(check) == (
            "(make, *, params=None, steps=4, allow=None, claims=(), extra_args=None, "
            "reference=None)"
        )
    assert bare_signature(testing.check_law) == (
        "(law, make, *, params=None, steps=4, claims=(), extra_args=None, reference=None)"
    )


def test_the_study():
    assert study.__all__ == STUDY
    assert bare_signature(study.study).startswith("(problems, *, methods=")


def test_all():
    assert gdmethods.__all__ == NAMES
    assert all(hasattr(gdmethods, name) for name in NAMES)


def test_each_name_has_its_row():
    assert sorted([*FIELDS, *SIGNATURES]) == sorted(NAMES)


def states():
    """The types of all states, wherever they are declared."""
    return {
        thing
        for module in modules()
        for name, thing in vars(module).items()
        if name.endswith("State") and inspect.isclass(thing) and issubclass(thing, tuple)
    }


def test_a_state_is_called_by_the_name_under_which_it_is_found():
    assert len(states()) >= len([name for name in NAMES if name.endswith("State")]) + 4
    for state_type in states():
        module, _, name = public_name(state_type).rpartition(".")
        assert getattr(importlib.import_module(module), name) is state_type


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_what_is_public(name):
    assert public_name(getattr(gdmethods, name)) == f"gdmethods.{name}"


def bare_signature(function):
    """Without annotations."""
    signature = inspect.signature(function)
    bare = signature.replace(
        parameters=[
            p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()
        ],
        return_annotation=inspect.Signature.empty,
    )
    return str(bare)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    assert bare_signature(getattr(gdmethods, name)) == f"({SIGNATURES[name]})"


@pytest.mark.parametrize("name", FIELDS)
def test_state_fields(name):
    assert " ".join(getattr(gdmethods, name)._fields) == FIELDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_belongs_to_the_package_and_is_documented(name):
    public = getattr(gdmethods, name)
    assert public.__module__.startswith("gdmethods")
    assert public.__doc__


def shown():
    """All that a user asks help for."""
    yield from (getattr(gdmethods, name) for name in NAMES)
    yield from (getattr(testing, name) for name in TESTING if not name.isupper())
    yield from (thing for thing in vars(rules).values() if hasattr(thing, "__qualname__"))
    for dialect in (dialects.keras, dialects.lecture, dialects.torch):
        for name, thing in vars(dialect).items():
            if getattr(thing, "__module__", "").startswith(dialect.__name__) and name[0] != "_":
                yield thing


@pytest.mark.parametrize("thing", list(shown()), ids=lambda thing: thing.__qualname__)
def test_help_fits_a_terminal(thing):
    """In 80 columns, of which help() leaves the first four free."""
    for line in inspect.getdoc(thing).splitlines():
        if "after a gradient of" not in line:  # a message that is shown as it is printed
            assert sum(not unicodedata.combining(letter) for letter in line) <= 76, line
    takes_functions = thing.__module__ in (
        "gdmethods.testing._contract",
        "gdmethods.testing.identify._identify",
        "gdmethods._engine.factory",
        "gdmethods._engine.hyperparameters",
    )
    if inspect.isfunction(thing) and not takes_functions:
        assert "Callable" not in str(inspect.signature(thing))  # an alias that was taken apart


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_argument_of_an_alias_is_documented(name):
    """By its own docstring, or where that refers to another's arguments, by that one's."""
    public = getattr(gdmethods, name)
    documentation = inspect.getdoc(public)
    for other in SIGNATURES:
        if f"of `{other}`" in documentation:
            documentation += inspect.getdoc(getattr(gdmethods, other))
    for argument in inspect.signature(public).parameters:
        assert f"{argument}:" in documentation


def modules():
    yield gdmethods
    for module in pkgutil.walk_packages(gdmethods.__path__, "gdmethods."):
        yield importlib.import_module(module.name)


EXAMPLES = [
    test
    for module in modules()
    for test in doctest.DocTestFinder(exclude_empty=False).find(module)
]


@pytest.mark.parametrize(
    "example", [test for test in EXAMPLES if test.examples], ids=lambda test: test.name
)
def test_examples_in_docstrings(example):
    report = []
    doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_public_function_has_an_example(name):
    examples = [
        example
        for test in EXAMPLES
        if test.name == f"{getattr(gdmethods, name).__module__}.{name}"
        for example in test.examples
    ]
    assert examples
