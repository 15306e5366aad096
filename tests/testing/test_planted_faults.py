"""The checker is checked: a law sees the faults that are planted for it, and not others."""

import collections
from typing import Any

import chance
import jax.numpy as jnp
import optax
import planted
import pytest
from planted import PLANTED, Planted, honest

import gdmethods
from gdmethods.testing import LAWS, check_contract, check_law
from gdmethods.testing.laws import CLAIMED

# By one kind only: nothing else is between a step and its batch, or its compilation.
ONCE = {"vmap_equals_loop", "scan_equals_loop", "sharding", "non_finite_step"}


def name(fault: Planted) -> str:
    return f"{fault.law}-{getattr(fault.make, '__name__', '')}"


@pytest.mark.proof
@pytest.mark.parametrize("fault", PLANTED, ids=name)
def test_a_planted_fault_breaks_its_law_and_no_other(fault: Planted) -> None:
    broken = check_contract(fault.make, **fault.options).broken
    assert fault.case in broken[fault.law]
    if fault.also is not None:
        assert set(broken) == {fault.law, *fault.also}


def test_each_law_has_two_planted_faults() -> None:
    faults = collections.Counter(fault.law for fault in PLANTED)
    assert set(faults) == set(LAWS)
    assert {law for law in LAWS if faults[law] < 2} <= ONCE


def test_an_honest_transformation_keeps_every_law() -> None:
    report = check_contract(honest, claims=["descends"])
    assert report.broken == {}
    assert report.kept == tuple(law for law in LAWS if law not in CLAIMED - {"descends"})


# What is sound in its own way, and what was accused of it.

SOUND: dict[str, tuple[Any, list[str], dict[str, Any]]] = {
    "updates that are small differences of weights": (
        lambda: optax.contrib.schedule_free_sgd(1e-4),
        ["jit_equals_eager", "vmap_equals_loop", "scan_equals_loop", "sign_symmetry"],
        {},
    ),
    "sums that cancel": (
        lambda: optax.contrib.prodigy(0.1),
        ["jit_equals_eager", "vmap_equals_loop", "scan_equals_loop"],
        {},
    ),
    "steps in proportion to weights that grow": (
        lambda: optax.lamb(0.1),
        ["counts"],
        {},
    ),
    "every fourth step": (
        lambda: optax.MultiSteps(honest(), 4).gradient_transformation(),
        ["long_walk", "counts"],
        {},
    ),
    "a schedule that ends": (
        lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 100)),
        ["long_walk", "counts"],
        {},
    ),
    "signs": (
        lambda: planted.rule(lambda v, g: -jnp.sign(g)),
        ["scale_invariance"],
        {"claims": ["scale_invariance"]},
    ),
    "eight bits that are never zero": (
        lambda: planted.adam_with(planted.in_eight_bits(1)),
        ["bounded_steps"],
        planted.BOUNDED,
    ),
    "a float32 copy of the weights": (
        lambda: gdmethods.with_float32_master(gdmethods.sgd(0.001)),
        ["narrow_weights", "counts", "long_walk"],
        {},
    ),
}


@pytest.mark.proof
@pytest.mark.parametrize(("make", "laws", "options"), SOUND.values(), ids=SOUND)
def test_what_is_sound_is_not_accused(make: Any, laws: list[str], options: Any) -> None:
    for law in laws:
        check_law(law, make, **options)


BY_CHANCE = pytest.mark.parametrize(
    ("make", "options"),
    [
        (chance.momentum, planted.CHANCE),
        (
            lambda: chance.weights_by_chance(gdmethods.adam(0.01)),
            {
                "claims": ["rounds_stochastically", "wide_updates"],
                "reference": lambda: gdmethods.adam(0.01),
            },
        ),
    ],
    ids=["state", "weights"],
)


@pytest.mark.proof
@BY_CHANCE
def test_what_rounds_stochastically_is_held_by_distributions(make: Any, options: Any) -> None:
    for law in ("jit_equals_eager", "sign_symmetry", "narrow_weights", "rounds_stochastically"):
        check_law(law, make, **options)


@pytest.mark.proof
@BY_CHANCE
def test_what_rounds_stochastically_keeps_every_law(make: Any, options: Any) -> None:
    assert check_contract(make, **options).broken == {}


def test_what_rounds_stochastically_is_accused_unless_it_says_so() -> None:
    with pytest.raises(AssertionError, match="mirrored, and"):
        check_law("sign_symmetry", chance.momentum)


@pytest.mark.proof
@pytest.mark.parametrize("broken", [planted.lags, planted.normalizes, planted.decays])
def test_a_claim_of_chance_hides_no_other_fault(broken: Any) -> None:
    (law,) = {fault.law for fault in PLANTED if fault.make is broken}
    with pytest.raises(AssertionError):
        check_law(law, broken, **planted.CHANCE)
