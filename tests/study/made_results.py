"""Results made by hand: each run ends at a chosen value, without any training."""

import math
from collections.abc import Sequence

from gdmethods.study.outcomes import Facts, Outcome, Point, Results, Run, Settings

PASSES, POINTS, STEPS = 4, 2, 50
START = 2.3
RATES = (0.001, 0.01, 0.1)


def facts(
    name: str = "digits",
    *,
    target: float | None = 3.0,
    greater_is_better: bool = False,
    reported: str = "test",
) -> Facts:
    judge = "accuracy" if greater_is_better else "error"
    text = "10 classes of 8×8 pixels"
    return Facts(name, text, judge, greater_is_better, reported, target, 32, 1000)


def run(
    problem: Facts,
    method: str,
    rate: float,
    seed: int,
    end: float,
    *,
    loss: float | None = None,
    momentum: float | None = None,
) -> Run:
    """The judge goes to `end` geometrically, on the test data too; NaN diverges halfway."""
    diverges = math.isnan(end)
    points = PASSES * POINTS
    settings = Settings(
        problem=problem.name,
        problem_crc32=0xABC,
        method=method,
        method_crc32=0xDEF,
        arguments={"learning_rate": rate} | ({"momentum": momentum} if momentum else {}),
        seed=seed,
        passes=PASSES,
        batch_size=problem.batch_size,
        points=POINTS,
        together=1,
        device="cpu",
        versions={"gdmethods": "0.9", "jax": "0.10"},
    )

    start = 10.0 if problem.greater_is_better else 90.0
    loss_end = loss or (1.0 if problem.greater_is_better else end / 90)

    def value(first: float, last: float, i: int) -> float:
        if diverges:
            return math.nan if i == points // 2 else first
        return first * (last / first) ** (i / points) if math.isfinite(last) else last

    return Run(
        settings,
        diverges,
        1000,
        8.004,
        1.5,
        tuple(
            Point(
                steps=STEPS * i,
                passes=i / POINTS,
                seconds=(1 + seed / 10) * i,
                loss=value(START, loss_end, i),
                validation={problem.judge: value(start, end, i)},
                test={problem.judge: value(start, end, i)} if problem.reported == "test" else {},
            )
            for i in range(points // 2 + 1 if diverges else points + 1)
        ),
    )


def outcome(
    label: str,
    last: Sequence[float],
    problem: Facts | None = None,
    *,
    rate: float = 0.01,
    loss: float | None = None,
    error: str | None = None,
    extended: bool = False,
    momentum: float | None = None,
    lost: Sequence[float] = (),
) -> Outcome:
    """A method whose repeats end with these values of the judge, with seeds 1, 2, ….

    The trial of seed 0 ends with 2 at `rate`, diverges at the rates `lost`, and ends with 60 at
    the others.
    """
    problem = problem or facts()
    method = label if "." in label.split("(")[0] else f"gdmethods.{label}"
    best = 95.0 if problem.greater_is_better else 2.0
    trials = [
        run(
            problem,
            method,
            tried,
            0,
            math.nan if tried in lost else best if tried == rate else 60.0,
            loss=loss,
            momentum=momentum,
        )
        for tried in RATES
    ]
    repeats = [
        run(problem, method, rate, seed, end, loss=loss, momentum=momentum)
        for seed, end in enumerate(last, 1)
    ]
    return Outcome(problem, method, label, tuple(trials), tuple(repeats), extended, error)


def results(*outcomes: Outcome, planned: int | None = None) -> Results:
    seeds = max((len(o.repeats) for o in outcomes), default=1)
    return Results(
        command="python -m gdmethods.study my_problem:problem --methods '<i>&'",
        settings={
            "methods": [o.method for o in outcomes],
            "learning_rates": list(RATES),
            "seeds": seeds,
            "passes": PASSES,
            "points": POINTS,
            "device": "cpu",
            "versions": {"gdmethods": "0.9", "jax": "0.10"},
        },
        planned=len(outcomes) if planned is None else planned,
        outcomes=outcomes,
    )
