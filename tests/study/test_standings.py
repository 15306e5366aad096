"""Who is ahead: against permutations, intervals worked out by hand, and simulated studies."""

import itertools
import math

import made_results as made
import numpy as np
import pytest
import scipy.stats

from gdmethods.study import standings
from gdmethods.study.standings import difference, profile, time, times

NAN = math.nan


def ranks(*outcomes: made.Outcome) -> dict[str, int | None]:
    return {s.outcome.label: s.rank for s in standings.standings(outcomes)}


def test_interval_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1. Student's t of 2 degrees: 4.3027 at 97.5 %."""
    mean, low, high = difference(
        made.outcome("sgd", [3.0, 5.0, 7.0]), made.outcome("adam", [2.0, 3.0, 4.0])
    )
    assert mean == pytest.approx(2)
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)


def test_seeds_are_paired() -> None:
    """The seeds spread far more than the methods differ; only pairs show the difference."""
    spread = np.array([1.0, 5.0, 9.0, 13.0, 17.0])
    adam = made.outcome("adam", spread)
    sgd = made.outcome("sgd", spread + np.array([0.2, 0.3, 0.2, 0.3, 0.2]))
    assert ranks(adam, sgd) == {"adam": 1, "sgd": 2}
    shuffled = made.outcome("sgd", (spread + 0.25)[[3, 0, 4, 2, 1]])
    assert ranks(adam, shuffled) == {"adam": 1, "sgd": 1}


def test_agrees_with_permutations() -> None:
    """Of ten paired seeds, told apart as by all 2¹⁰ ways to turn the signs of the differences."""
    draws = np.random.default_rng(5)
    agree = 0
    for _ in range(40):
        a = draws.normal(10, 1, 10)
        b = a + draws.normal(0.6, 1, 10)
        told = difference(made.outcome("b", b), made.outcome("a", a))
        signs = np.array([*itertools.product((-1, 1), repeat=10)])
        p = np.mean(abs(signs @ (b - a)) >= abs((b - a).sum()) - 1e-9)
        agree += (told.low > 0 or told.high < 0) == (p < 0.05)
    assert agree >= 38


def test_order_of_seeds_and_scale_do_not_matter() -> None:
    a, b = [1.0, 2.0, 4.0, 3.0], [2.0, 4.0, 4.5, 5.0]
    expected = difference(made.outcome("b", b), made.outcome("a", a))
    turned = difference(made.outcome("b", b[::-1]), made.outcome("a", a[::-1]))
    scaled = difference(
        made.outcome("b", [8 * x for x in b]), made.outcome("a", [8 * x for x in a])
    )
    assert turned == pytest.approx(expected)
    assert scaled == pytest.approx([8 * x for x in expected])


def test_more_of_an_accuracy_is_better() -> None:
    problem = made.facts(greater_is_better=True, target=90.0)
    good = made.outcome("adam", [95.0, 95.2, 95.1], problem)
    bad = made.outcome("sgd", [80.0, 80.1, 80.3], problem)
    assert ranks(bad, good) == {"adam": 1, "sgd": 2}
    assert difference(bad, good).low > 0
    assert times(bad, "passes") == [math.inf] * 3
    assert max(times(good, "passes")) < math.inf


def test_ranks_with_ties() -> None:
    """A and B are not told apart, nor B and C, but A and C are: C has only A above it."""
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.0])
    a = made.outcome("a", 2 + noise)
    c = made.outcome("c", 3 - noise)
    b = made.outcome("b", 2.5 + np.array([1.0, -1.0, 0.9, -1.1, 0.2]))
    last = made.outcome("last", 50 + noise)
    assert ranks(c, last, b, a) == {"a": 1, "b": 1, "c": 2, "last": 4}


def test_a_scattered_method_is_behind_a_worse_one_that_is_told_apart() -> None:
    """Its mean is the worst, but its own seeds differ too much to show it."""
    noise = np.array([0.1, -0.1, 0.05, -0.05, 0.0])
    best, next_ = made.outcome("best", 2 + noise), made.outcome("next", 3 - noise)
    scattered = made.outcome("scattered", 6 + 40 * noise)
    found = standings.standings([scattered, next_, best])
    assert [(s.outcome.label, s.rank) for s in found] == [
        ("best", 1),
        ("next", 2),
        ("scattered", 1),
    ]
    assert [s.outcome.label for s in standings.leaders(found)] == ["best"]
    assert [s.outcome.label for s in standings.unsure(found)] == ["scattered"]


def test_more_methods_ask_for_more() -> None:
    a, b = made.outcome("a", [1.0, 1.2, 1.1]), made.outcome("b", [1.5, 1.8, 1.5])
    others = [made.outcome(f"m{i}", [20.0, 25.0, 21.0 + i]) for i in range(6)]
    assert ranks(a, b) == {"a": 1, "b": 2}
    assert ranks(a, b, *others)["b"] == 1


def test_seeds_that_agree_to_the_bit() -> None:
    same = made.outcome("a", [1.5] * 3), made.outcome("b", [1.5] * 3)
    assert ranks(*same) == {"a": 1, "b": 1}
    assert ranks(same[0], made.outcome("c", [1.75] * 3)) == {"a": 1, "c": 2}


def test_divergence_is_infinitely_bad_and_never_nan() -> None:
    good = made.outcome("good", [9.0, 9.1, 9.2])
    once = made.outcome("once", [1.0, NAN, 1.0])
    always = made.outcome("always", [NAN] * 3)
    found = standings.standings([always, once, good])
    assert [s.outcome.label for s in found] == ["good", "once", "always"]
    assert [s.rank for s in found] == [1, 2, 2]
    assert not any(math.isnan(number) for s in found for number in s.behind)
    assert found[1].behind.mean == math.inf
    assert ranks(once, always) == {"once": 1, "always": 1}
    unbounded = made.outcome("unbounded", [1.0, math.inf, 1.0])
    assert ranks(unbounded, good) == {"good": 1, "unbounded": 2}


def test_one_seed_tells_nothing_apart() -> None:
    assert ranks(made.outcome("a", [1.0]), made.outcome("b", [9.0])) == {"a": 1, "b": 1}
    assert ranks(made.outcome("a", [1.0]), made.outcome("b", [NAN])) == {"a": 1, "b": 2}


def test_a_method_that_failed_has_no_rank() -> None:
    found = ranks(
        made.outcome("broken", [], error="TypeError"),
        made.outcome("halfway", [1.0], error="TypeError"),
        made.outcome("a", [1.0, 2.0]),
    )
    assert found == {"a": 1, "broken": None, "halfway": None}


def test_times_to_target() -> None:
    """The error is 90 (end / 90)^(i / 8) at point i, two of them a pass."""
    last = np.array([1.0, 2.0, 2.99])
    found = made.outcome("a", [*last, 3.01, NAN])
    first = np.ceil(8 * np.log(3 / 90) / np.log(last / 90))
    assert times(found, "passes") == [*(first / 2), math.inf, math.inf]
    assert times(found, "seconds")[:3] == pytest.approx(first * [1.1, 1.2, 1.3])
    assert time(found, "passes") == first[2] / 2
    assert time(made.outcome("b", [1.0, 1.0, 9.0, 9.0]), "passes") == math.inf
    assert time(made.outcome("c", [1.0, 9.0, 9.0]), "seconds") == math.inf
    assert time(made.outcome("d", [1.0], made.facts(target=None)), "passes") == math.inf
    assert time(made.outcome("e", [1.0], made.facts(target=90.0)), "passes") == 0


def test_profile_over_problems() -> None:
    """An error of 50 takes Adam 1 pass and SGD 1.5; one of 3 is out of SGD's reach."""
    easy, hard, free = made.facts("easy", target=50.0), made.facts("hard"), made.facts(target=None)
    found = profile(
        [
            made.outcome("adam", [1.0], easy),
            made.outcome("sgd", [9.0], easy),
            made.outcome("adam", [1.0], hard),
            made.outcome("sgd", [9.0], hard),
            made.outcome("adam", [1.0], free),
            made.outcome("sgd", [9.0], free),
            made.outcome("adam", [1.0], made.facts("unfinished")),
        ]
    )
    assert found == {"adam": [1.0, 1.0], "sgd": [1.5, math.inf]}


def _within(low: np.ndarray, high: np.ndarray) -> float:
    return float(np.mean((low <= 0) & (high >= 0)))


@pytest.mark.proof
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_hold_what_they_promise(seeds: int) -> None:
    """95 % of 2000 simulated intervals hold the truth; a bootstrap's do not with few seeds."""
    draws = np.random.default_rng(seeds).normal(size=(2000, 2, seeds))
    found = np.array(
        [difference(made.outcome("a", 9 + a), made.outcome("b", 9 + b)) for a, b in draws]
    )
    assert _within(found[:, 1], found[:, 2]) == pytest.approx(0.95, abs=0.015)
    bootstrap = scipy.stats.bootstrap(
        (draws[:500, 0] - draws[:500, 1],), np.mean, axis=1, method="BCa", rng=1, batch=100
    ).confidence_interval
    assert _within(*bootstrap) < {2: 0.6, 3: 0.8, 5: 0.88, 10: 0.94}[seeds]


@pytest.mark.proof
@pytest.mark.parametrize("methods", [2, 9])
def test_equal_methods_are_seldom_ranked(methods: int) -> None:
    """In at most 5 % of 600 simulated studies of equal methods is any of them put behind."""
    draws = np.random.default_rng(methods).normal(9, 1, size=(600, methods, 5))
    wrong = 0
    for study in draws:
        found = ranks(*(made.outcome(f"m{i}", last) for i, last in enumerate(study)))
        wrong += set(found.values()) != {1}
    assert wrong <= 0.05 * len(draws) + 3 * (0.05 * 0.95 * len(draws)) ** 0.5
