"""The checker is checked: an honest transformation keeps each law, and a sinner breaks it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods.testing import LAWS, Outcome, assert_contract, check_contract
from gdmethods.testing._subject import Subject


def wide(w: Any) -> Any:
    return jnp.promote_types(w.dtype, jnp.float32)


def zeros(params: Any) -> Any:
    return jax.tree.map(lambda w: jnp.zeros_like(w, dtype=wide(w)), params)


def rule(
    displacement: Callable[[Any, Any], Any], init: Callable[[Any], Any] = zeros
) -> optax.GradientTransformationExtraArgs:
    """The displacement of a weight from its velocity and its gradient, with a velocity that lasts.

    `init` makes the velocities.
    """

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        velocity = jax.tree.map(lambda v, g: 0.5 * v + g.astype(v.dtype), state, updates)
        moves = jax.tree.map(
            lambda v, g, w: displacement(v, g.astype(v.dtype)).astype(w.dtype),
            velocity,
            updates,
            params,
        )
        return moves, velocity

    return optax.GradientTransformationExtraArgs(init, update)


def honest() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * v)


class Counted(NamedTuple):
    count: Any
    velocity: Any


def counting(start: Callable[[], Any], increment: Any) -> optax.GradientTransformationExtraArgs:
    """The honest one, with a count."""
    inner = honest()

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, velocity = inner.update(updates, state.velocity, params)
        return updates, Counted(state.count + increment, velocity)

    return optax.GradientTransformationExtraArgs(lambda p: Counted(start(), inner.init(p)), update)


def remembers_outside() -> optax.GradientTransformationExtraArgs:
    calls: list[None] = []

    def displacement(v: Any, g: Any) -> Any:
        calls.append(None)
        return -0.1 * len(calls) * v

    return rule(displacement)


def knows_whether_it_is_traced() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: (-0.1 if isinstance(v, jax.core.Tracer) else -0.2) * v)


def batches_wrongly() -> optax.GradientTransformationExtraArgs:
    @jax.custom_batching.custom_vmap
    def slow(v: Any) -> Any:
        return -0.1 * v

    @slow.def_vmap
    def _(size: int, batched: Any, v: Any) -> Any:
        return -0.2 * v, True

    return rule(lambda v, g: slow(v))


def keeps_the_parameters() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * v, init=lambda params: params)


def forgets_the_sharding() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -0.1 * v,
        init=lambda params: jax.tree.map(lambda w: jnp.zeros(w.shape, wide(w)), params),
    )


def is_built_by_chance() -> optax.GradientTransformationExtraArgs:
    rate = np.random.default_rng().uniform(0.1, 0.2)
    return rule(lambda v, g: -rate * v)


def starts_from_values() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -0.1 * g,
        init=lambda params: jax.tree.map(lambda w: (w * 0.0).astype(wide(w)), params),
    )


def counts_in_floats() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.int32(0), jnp.float32(1))


def starts_weakly() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.asarray(0.0), jnp.ones(()))


def keeps_a_number() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: 0, 1)


def shrinks() -> optax.GradientTransformationExtraArgs:
    """Its state ends as one number a leaf."""
    inner = honest()

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, velocity = inner.update(updates, state, params)
        return updates, jax.tree.map(jnp.sum, velocity)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def decays() -> optax.GradientTransformationExtraArgs:
    return optax.chain(optax.add_decayed_weights(0.5), honest())


def hates_a_jump() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: jnp.where((v < g) & (g > 30), 0.0, -0.1 * v))


def knows_solvers_alone() -> optax.GradientTransformationExtraArgs:
    inner = honest()

    def update(updates: Any, state: Any, params: Any, *, value: Any, grad: Any, value_fn: Any):
        return inner.update(updates, state, params)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def makes_tuples_of_named_tuples() -> optax.GradientTransformationExtraArgs:
    inner = honest()

    def plain(tree: Any) -> Any:
        return jax.tree.map(
            lambda node: tuple(node) if isinstance(node, tuple) else node,
            tree,
            is_leaf=lambda node: isinstance(node, tuple),
        )

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, state = inner.update(updates, state, params)
        return plain(updates), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def follows_the_gradients() -> optax.GradientTransformationExtraArgs:
    return optax.stateless_with_tree_map(lambda g, w: -0.125 * g)


def drifts() -> optax.GradientTransformationExtraArgs:
    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        velocity = jax.tree.map(lambda v, g: 0.5 * v + g, state, updates)
        return jax.tree.map(lambda v, w: (-0.125 * v).astype(w.dtype), velocity, params), velocity

    return optax.GradientTransformationExtraArgs(
        lambda params: jax.tree.map(jnp.zeros_like, params), update
    )


def normalizes() -> optax.GradientTransformationExtraArgs:
    return optax.chain(optax.normalize_by_update_norm(), honest())


def lags() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * (v - g))


# Each law, a transformation that breaks it, and what the case against it shows.
SINNERS: list[tuple[str, Callable[[], Any], str]] = [
    ("purity", remembers_outside, "after steps thrown away"),
    ("jit_equals_eager", knows_whether_it_is_traced, "compiled, and"),
    ("vmap_equals_loop", batches_wrongly, "in a batch"),
    ("scan_equals_loop", counts_in_floats, "state.count is float32[] after a step, and int32[]"),
    ("one_compilation", starts_weakly, "state.count is strictly typed after a step"),
    ("donation", keeps_the_parameters, "params['bias'] and state['bias'] are one buffer"),
    ("donation", shrinks, "no output of a step can take over"),
    ("sharding", forgets_the_sharding, "state['kernel'] has SingleDeviceSharding"),
    ("checkpoint", is_built_by_chance, "from a checkpoint, and"),
    ("checkpoint", counts_in_floats, "state.count is float32[] after 2 updates"),
    ("checkpoint", keeps_a_number, "ndarray"),
    ("abstract_init", starts_from_values, "ShapeDtypeStruct"),
    ("extra_args", knows_solvers_alone, "unexpected keyword argument 'batch_size'"),
    ("tree_kinds", makes_tuples_of_named_tuples, "of a tree with a NamedTuple"),
    ("update_dtypes", follows_the_gradients, "bfloat16 parameters and float32 gradients"),
    ("state_dtypes", drifts, "bfloat16 parameters and float32 gradients"),
    ("complex_leaves", lambda: rule(lambda v, g: -0.1 * g**3), "by their parts"),
    ("non_finite_step", counts_in_floats, "cond branches must have equal output types"),
    ("no_lag", lags, "is -0 after a gradient of 1 and after one of -1"),
    ("no_lag", lambda: optax.rprop(0.1), "after a gradient of 1 and after one of -1"),
    ("elementwise", normalizes, "in other leaves, and"),
    ("zero_gradient", decays, "with gradients (0): update 1 is -0.025"),
    (
        "zero_gradient",
        lambda: optax.adam(0.1),
        "float16 weight with gradient 0: update 1 is nan",
    ),
    ("sign_symmetry", lambda: rule(lambda v, g: -0.1 * jnp.maximum(g, -1)), "mirrored, and"),
    ("scale_invariance", honest, "if they are 1024 times as large"),
]


def test_an_honest_transformation_keeps_every_law() -> None:
    report = check_contract(honest)
    assert report.broken == {}
    assert report.kept == tuple(law for law in LAWS if law != "scale_invariance")


def test_each_law_has_its_sinner() -> None:
    assert {law for law, *_ in SINNERS} == set(LAWS)


@pytest.mark.parametrize(("law", "make", "message"), SINNERS)
def test_a_sinner_breaks_its_law(law: str, make: Callable[[], Any], message: str) -> None:
    with pytest.raises((AssertionError, TypeError), match=re.escape(message)):
        LAWS[law](Subject(make, params=None, steps=4))


def test_scale_invariance_is_kept_by_signs() -> None:
    LAWS["scale_invariance"](Subject(lambda: rule(lambda v, g: -jnp.sign(g)), None, 4))


class TestTheReport:
    def test_it_prints_a_table(self) -> None:
        report = check_contract(lambda: optax.rprop(0.1), allow={"update_dtypes": "on purpose"})
        lines = str(report).splitlines()
        assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(LAWS)
        assert "purity            kept" in lines
        assert "no_lag            broken          the first update of" in str(report)
        assert max(map(len, lines)) <= 99

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
        assert report.verdicts[-1].outcome is Outcome.NOT_APPLICABLE


def test_assert_contract_shows_the_broken_laws() -> None:
    assert_contract(decays, allow={"zero_gradient": "it decays weights"})
    with pytest.raises(AssertionError, match=r"1 law is broken.\nzero_gradient: weight"):
        assert_contract(decays)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
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
    for law in ("purity", "jit_equals_eager", "scan_equals_loop", "checkpoint", "donation"):
        LAWS[law](subject)
    assert subject.eager.updates["layer"]["w"].shape == (2, 2)
    with pytest.raises(AssertionError, match=r"weight\['frozen'\]\[0\] is 0 after"):
        LAWS["no_lag"](subject)


def test_a_state_may_hold_a_random_key() -> None:
    subject = Subject(lambda: optax.noisy_sgd(0.1, key=0), params=None, steps=2)
    for law in ("purity", "jit_equals_eager", "checkpoint", "state_dtypes"):
        LAWS[law](subject)


def test_the_search_shows_the_smallest_case_that_it_finds() -> None:
    """A large gradient after a negative one, and nothing else."""
    with pytest.raises(AssertionError, match=r"with gradients \(-4, 40\): update 2"):
        LAWS["sign_symmetry"](Subject(hates_a_jump, params=None, steps=4))


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
