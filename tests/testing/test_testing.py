"""What a user of the checker sees: the report, the tests, the errors."""

import os
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from planted import decays, honest, lags

import gdmethods
from gdmethods.testing import (
    CLAIMED,
    LAWS,
    Outcome,
    assert_contract,
    check_contract,
    check_law,
)
from gdmethods.testing._subject import Subject


class TestTheReport:
    def test_it_prints_a_table(self) -> None:
        report = check_contract(lambda: optax.rprop(0.1), allow={"update_dtypes": "on purpose"})
        lines = str(report).splitlines()
        assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(LAWS)
        assert "purity                 kept" in lines
        assert max(map(len, lines)) <= 80

    def test_a_broken_law_says_what_came_and_was_expected_and_how_to_see_it(self) -> None:
        report = check_contract(lags, claims=["descends"], params=jnp.ones(1), steps=3)
        assert report.broken["no_lag"].splitlines() == [
            "the first update of weight[0] is -0 after a gradient of 1 and after one of -1",
            "Expected: The first update depends on the first gradient, in every weight.",
            "Reproduce: check_law(\"no_lag\", make, claims=['descends'], steps=3, params=params)",
        ]

    def test_what_is_not_promised_is_shown_with_its_reason(self) -> None:
        allow = {"zero_gradient": "it decays weights", "no_lag": "it warms up"}
        report = check_contract(decays, allow=allow)
        outcomes = {v.law: v for v in report.verdicts}
        assert outcomes["zero_gradient"].outcome is Outcome.NOT_PROMISED
        assert outcomes["zero_gradient"].message == "it decays weights"
        assert outcomes["no_lag"].message == "it warms up (no case found against it)"
        assert report.broken == {}

    def test_a_law_that_few_keep_is_checked_of_those_who_claim_it(self) -> None:
        report = check_contract(honest)
        outcomes = {v.law: v for v in report.verdicts}
        assert {v.outcome for law, v in outcomes.items() if law in CLAIMED} == {
            Outcome.NOT_APPLICABLE
        }


def test_assert_contract_shows_the_broken_laws() -> None:
    assert_contract(decays, allow={"zero_gradient": "it decays weights"})
    with pytest.raises(AssertionError, match=r"1 law is broken.\nzero_gradient: weight"):
        assert_contract(decays)


def test_the_line_that_reproduces_a_case_raises_it_where_it_comes_from() -> None:
    with pytest.raises(TypeError) as caught:
        check_law("extra_args", needs_a_batch_size)
    assert caught.traceback[-1].name == "update"


def needs_a_batch_size() -> optax.GradientTransformationExtraArgs:
    def update(updates: Any, state: Any, params: Any, **others: Any) -> Any:
        if "batch_size" in others:
            raise TypeError("batch_size is not for me")
        return updates, state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


TEST = """
from gdmethods.testing import every_law
from planted import decays

@every_law(decays, allow={"no_lag": "it is a test"})
def test_contract(law): law()
"""


def test_a_test_of_three_lines_names_the_law_that_fails(tmp_path: Any) -> None:
    file = tmp_path / "test_three_lines.py"
    file.write_text(TEST)
    arguments = [
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        "no_lag or zero_g or shapes",
    ]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert re.search(
        r"FAILED .*test_contract\[zero_gradient\] - AssertionError: 1", process.stdout
    )
    assert re.search(r"PASSED .*test_contract\[shapes\]", process.stdout)
    assert re.search(r"SKIPPED .* it is a test", process.stdout)


class TestWhatUpdateAsksFor:
    """Beside the words of Optax's solvers."""

    @staticmethod
    def asks() -> optax.GradientTransformationExtraArgs:
        def update(updates: Any, state: Any, params: Any, *, loudness: Any, **others: Any) -> Any:
            return jax.tree.map(lambda g, w: (loudness * g).astype(w.dtype), updates, params), ()

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    def test_it_is_said_once_what_is_missing(self) -> None:
        report = check_contract(self.asks)
        assert report.broken == {}
        first, *others = report.not_tried.values()
        assert "missing 1 required keyword-only argument: 'loudness'" in first
        assert "Pass extra_args=lambda params, gradients, loss: {name: value}." in first
        assert set(others) == {"for the same reason"}
        with pytest.raises(AssertionError, match="laws are not tried"):
            assert_contract(self.asks)

    def test_it_is_given(self) -> None:
        def loudness(params: Any, gradients: Any, loss: Any) -> dict[str, Any]:
            return {"loudness": -0.5 + 0 * loss}

        assert_contract(self.asks, extra_args=loudness)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (optax.sgd(0.1), "make must be a function .* and is a transformation. Write lambda: bef"),
        (gdmethods.adam, "adam is missing a required argument: 'learning_rate'. Write lambda: a"),
        (lambda: gdmethods.adam, "and built adam. Call that"),
        (0.1, r"and is 0\.1"),
    ],
    ids=["a transformation", "a function that takes arguments", "builds one", "a number"],
)
def test_what_builds_no_transformation_is_told_what_does(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_contract(make)
    if callable(make):
        message = message.replace("make must", "reference must")
        with pytest.raises(TypeError, match=message):
            check_contract(honest, claims=["bounded_steps"], reference=make)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"allow": ["no_lag"]}, "allow is a list, but must be a dict that says why each law is"),
        ({"claims": "descends"}, r"claims must be a list of names: claims=\['descends'\]"),
    ],
)
def test_a_wrong_kind_of_argument_is_told_the_right_one(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        check_contract(honest, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"claims": ["bounded_steps"]}, "claims names 'bounded_steps', which needs reference"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"allow": {"no_lags": "a slip"}}, "allow names 'no_lags', .*purity, .*no_lag"),
        ({"allow": {"no_lag": ""}}, r"allow\['no_lag'\] must be the reason"),
        ({"claims": ["purity"]}, "claims names 'purity', which .*: scale_invariance"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_contract(honest, **arguments)


def test_parameters_and_steps_of_ones_own() -> None:
    """A transformation that is made for one tree is walked over that tree, as far as asked for."""
    params = {"layer": {"w": jnp.ones(2, jnp.bfloat16)}, "frozen": jnp.ones(3)}

    def make() -> optax.GradientTransformation:
        labels = {"layer": "moves", "frozen": "stays"}
        return optax.partition({"moves": honest(), "stays": optax.set_to_zero()}, labels)

    subject = Subject(make, params, steps=2)
    laws = "purity", "fresh_init", "jit_equals_eager", "scan_equals_loop", "checkpoint", "donation"
    for law in laws:
        LAWS[law](subject)
    assert subject.eager.updates["layer"]["w"].shape == (2, 2)
    with pytest.raises(AssertionError, match=r"weight\['frozen'\]\[0\] is 0 after"):
        LAWS["no_lag"](subject)


def test_a_state_may_hold_a_random_key() -> None:
    subject = Subject(lambda: optax.noisy_sgd(0.1, key=0), params=None, steps=2)
    for law in ("purity", "jit_equals_eager", "checkpoint", "state_dtypes"):
        LAWS[law](subject)


SHARDED = """
import jax, optax, gdmethods
from gdmethods.testing import LAWS
from gdmethods.testing._subject import Subject
assert len(jax.devices()) == 4
LAWS["sharding"](Subject(lambda: gdmethods.adam(0.1), None, 4))
"""


def test_sharding_over_several_devices() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], env=os.environ | flags, check=True)


def test_the_library_does_without_the_extra() -> None:
    """It is not imported with gdmethods, and who lacks it is told what to install."""
    code = (
        "import sys, gdmethods\n"
        "assert not {'gdmethods.testing', 'hypothesis'} & set(sys.modules)\n"
        "sys.modules['hypothesis'] = None\n"
        "import gdmethods.testing"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'gdmethods.testing needs hypothesis: pip install "gdmethods[testing]"' in process.stderr
