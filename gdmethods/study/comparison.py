"""What a study answers, in sentences that can be read aloud."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from gdmethods.study.outcomes import Facts, Outcome, Results
from gdmethods.study.standings import (
    FEW,
    Standing,
    by_problem,
    diverged,
    ends,
    last_loss,
    leaders,
    learned,
    least_seen,
    mean_end,
    pairs,
    ratio,
    standings,
    time,
    unsure,
)

SHORT = 4
"""The longest list that a sentence spells out."""


def answer(results: Results) -> list[str]:
    """Of each problem: who is ahead, how far behind the others are, and who dropped out."""
    texts = [_answer(outcomes) for outcomes in by_problem(results.outcomes).values()]
    missing = results.planned - len(results.outcomes)
    if missing > 0 and texts:
        texts[-1] += f" The study is not finished: {_count(missing, 'result')} to come."
    return texts


def remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """What else to know of the outcomes on a problem."""
    ranked = standings(outcomes)
    return [*_certainty(ranked), *(line for standing in ranked for line in _remarks(standing))]


def number(value: float) -> str:
    """Three digits, without an exponent where that is short."""
    if not math.isfinite(value):
        return "no number"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else _scientific(value, 2)


def form(values: Iterable[float], deviations: Iterable[float] = ()) -> Callable[[float], str]:
    """One form for numbers that stand together, so that their digits are under each other.

    The smallest deviation has two digits or, without any, the smallest number three. If that
    takes more than four decimals, each has an exponent.
    """
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    known = [deviation for deviation in deviations if math.isfinite(deviation) and deviation]
    if not sizes:
        return lambda value: f"{value:.0f}"
    finest, digits = (min(known), 2) if known else (min(sizes), 3)
    decimals = max(0, digits - 1 - math.floor(math.log10(finest)))
    if max(sizes) < 1e5 and (decimals <= 4 or min(sizes) >= 0.01):
        return lambda value: f"{value:.{min(decimals, 4)}f}".replace("-", "−")
    return lambda value: _scientific(value, 1).replace("-", "−")


def _scientific(value: float, decimals: int) -> str:
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def _answer(outcomes: Sequence[Outcome]) -> str:
    found = standings(outcomes)
    ranked = [standing for standing in found if standing.rank]
    lost = [standing for standing in ranked if diverged(standing.outcome)]
    idle = [s for s in ranked if s not in lost and not learned(s.outcome)]
    sentences = [_ahead(ranked), _apart(ranked)] if len(lost) < len(ranked) else []
    if lost:
        sentences.append(_divergence(lost))
    if idle:
        do, its = ("does", "its") if len(idle) == 1 else ("do", "their")
        sentences.append(
            f"{_names(idle)} {do} not learn: {its} training loss ends no lower than it began."
        )
    if len(ranked) < len(found):
        sentences.append(f"{_names(found[len(ranked) :])} failed.")
    return f"On {outcomes[0].problem.name}, {' '.join(filter(None, sentences))}"


def _ahead(ranked: Sequence[Standing]) -> str:
    best = ranked[0]
    first = leaders(ranked)
    end = _a(best.outcome.problem, f"of {number(mean_end(best.outcome))}")
    if len(ranked) == 1:
        return f"{best.name} ends with {end}."
    if len(best.outcome.repeats) == 1:
        return f"{best.name} ends best, with {end}, but one seed cannot tell methods apart."
    if len(first) == len(ranked):
        return f"no difference is seen between {_names(first)}."
    ahead = f"{best.name} is ahead, with {end}."
    if len(first) > 1:
        ahead = f"{_names(first)} are ahead and not told apart."
    scattered = unsure(ranked)
    if not scattered:
        return ahead
    them = "it" if len(first) == 1 else "them"
    vary = _verb("vary", scattered)
    return f"{ahead} {_names(scattered)} {vary} too much over the seeds to be told from {them}."


def _apart(ranked: Sequence[Standing]) -> str:
    """How far apart: in passes to the target or, without one, in the judge at the end."""
    facts = ranked[0].outcome.problem
    if facts.target is None:
        return _behind(ranked)
    target = _a(facts, f"of {number(facts.target)}")
    timed = [(time(standing.outcome, "passes"), standing) for standing in ranked]
    timed.sort(key=lambda pair: pair[0])
    least = timed[0][0]
    if least == math.inf:
        none = "It does not reach" if len(ranked) == 1 else "None reaches"
        return f"{none} {target}. {_behind(ranked)}".rstrip()
    missing = [standing for passes, standing in timed if passes == math.inf]
    factors: dict[str, list[Standing]] = {}
    for passes, standing in timed:
        if passes < math.inf:
            factors.setdefault(_factor(ratio(passes, least)), []).append(standing)
    fastest = factors.pop("1")
    alone = fastest == leaders(ranked) and not unsure(ranked)
    parts = [
        f"{'It' if alone and len(fastest) == 1 else _names(fastest, ranked)} "
        f"{_verb('reach', fastest)} {target} in {_count(least, 'pass', 'passes')}"
    ]
    if least == 0 and factors:
        parts.append("others reach it later")
    elif len(factors) >= SHORT:
        lowest, *_, highest = factors
        parts.append(f"others need {lowest} to {highest} times as many")
    elif factors:
        (factor, first), *others = factors.items()
        needs = [f"{_names(first)} {_verb('need', first)} {factor} times"]
        needs += [f"{_names(its)} {factor} times" for factor, its in others]
        parts.append(f"{_enumerated(needs)} as many")
    if missing:
        parts.append(f"{_names(missing)} {_verb('miss', missing)} it")
    apart = "" if factors or missing else _behind(ranked)
    return f"{'; '.join(parts)}. {apart}".rstrip()


def _behind(ranked: Sequence[Standing]) -> str:
    through = [standing for standing in ranked if not diverged(standing.outcome)]
    facts, seeds = through[0].outcome.problem, len(through[0].outcome.repeats)
    behind = [standing for standing in through if standing.rank != 1]
    worse = _a(facts, f"{'lower' if facts.greater_is_better else 'higher'} by ")
    if len(through) == 1:
        its = ends(through[0].outcome).values()
        width = number(max(its) - min(its))
        return f"Its {judge(facts)} varies by {width} over {seeds} seeds." if seeds > 1 else ""
    if not behind and seeds > 1:
        most = number(max(standing.behind.high for standing in through))
        return f"A difference of less than {most} would not be seen."
    if seeds == 1:
        behind = through[1:]
    if len(behind) == 1:
        mean, low, high = behind[0].behind
        shown = form([mean], [high - mean])
        interval = f" ({shown(low)} to {shown(high)})" if seeds > 1 else ""
        return f"{behind[0].name} ends with {worse}{shown(mean)}{interval}."
    least, most = (number(f(s.behind.mean for s in behind)) for f in (min, max))
    return f"The others end with {worse}{least} to {most}."


def _divergence(lost: Sequence[Standing]) -> str:
    always = [s for s in lost if diverged(s.outcome) == len(s.outcome.repeats)]
    clauses = [f"{_names(always)} {_verb('diverge', always)}"] if always else []
    clauses += [
        f"{s.name} diverges with {diverged(s.outcome)} of {len(s.outcome.repeats)} seeds"
        for s in lost
        if s not in always
    ]
    return f"{_enumerated(clauses)}."


def _certainty(ranked: Sequence[Standing]) -> list[str]:
    tried = [standing for standing in ranked if standing.rank]
    if len(tried) < 2:
        return []
    seeds = min(len(standing.outcome.repeats) for standing in tried)
    if seeds == 1:
        return ["With one seed, chance alone may have made the order: take at least five."]
    text = (
        f"With {seeds} seeds and {len(tried)} methods, a difference is told from chance if it is "
        f"at least {_factor(least_seen(seeds, pairs(len(tried))))} times its standard "
        "deviation over the seeds"
    )
    more = _factor(least_seen(2 * seeds, pairs(len(tried))))
    few = " So few seeds show large differences only: where none is seen, there may be one."
    return [f"{text}; with {2 * seeds} seeds, {more} times.{few if seeds < FEW else ''}"]


def _remarks(standing: Standing) -> Iterator[str]:
    outcome = standing.outcome
    if not standing.rank:
        yield f"{standing.name} failed: {outcome.error or 'no setting could be repeated'}"
        return
    if outcome.at_the_edge:
        rate = outcome.arguments["learning_rate"]
        tried = [run.settings.arguments["learning_rate"] for run in outcome.trials]
        edge = "lowest" if rate == min(tried) else "highest"
        yield (
            f"* {standing.name}: the best learning rate, {rate:g}, is the {edge} tried. "
            "A better one may lie beyond."
        )
    if outcome.extended:
        yield (
            f"{standing.name}: the best learning rate was at the edge of the grid, so the grid "
            "was extended beyond it, once."
        )
    if not learned(outcome):
        start = float(np.median([run.points[0].loss for run in outcome.repeats]))
        end = float(np.median([*map(last_loss, outcome.repeats)]))
        yield (
            f"{standing.name} does not learn: at its best learning rate, the training loss "
            f"{'diverges' if math.isinf(end) else f'ends at {number(end)}'}. "
            f"Before the first step it was {number(start)}."
        )


def judge(facts: Facts) -> str:
    """What judges, for a sentence."""
    return facts.judge.replace("_", " ")


def _a(facts: Facts, rest: str) -> str:
    article = "an" if judge(facts)[0].lower() in "aeiou" else "a"
    return f"{article} {judge(facts)} {rest}"


def _factor(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def _count(amount: float, one: str, many: str = "") -> str:
    return f"{number(amount)} {one if amount == 1 else many or f'{one}s'}"


def _verb(verb: str, standings: Sequence[Standing]) -> str:
    third = f"{verb}es" if verb.endswith(("s", "ch")) else f"{verb}s"
    if verb.endswith("y"):
        third = f"{verb[:-1]}ies"
    return third if len(standings) == 1 else verb


def _names(some: Sequence[Standing], ranked: Sequence[Standing] = ()) -> str:
    names = [standing.name for standing in some]
    if len(some) == len(ranked) > 2:
        return "All"
    if len(names) > SHORT + 1:
        names = [*names[:SHORT], f"{len(names) - SHORT} others"]
    return _enumerated(names)


def _enumerated(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
