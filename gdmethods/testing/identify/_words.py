"""A rule in words: its lines with their numbers, and each term that is unusual."""

from collections.abc import Iterator, Mapping
from typing import Any

from gdmethods.testing.identify._families import Numbers, Rule

TERMS: Mapping[tuple[str, str, Any], str] = {
    ("linear", "velocity", "none"): "there is no velocity",
    ("linear", "velocity", "velocity"): "it does not look ahead",
    ("linear", "velocity", "nesterov"): "it looks ahead, as Nesterov does",
    ("linear", "velocity", "swapped"): (
        "the velocities before and after are swapped in the look-ahead"
    ),
    ("linear", "dampening", True): "dampening leaves out part of every gradient but the first",
    ("root", "above", "g"): "the gradient itself stands over the root, and no mean of gradients",
    ("root", "above", "m"): "a running mean of gradients m stands over the root",
    ("root", "above", "m before"): "m is used before its update",
    ("root", "above", "nadam"): "m looks ahead, as in NAdam",
    ("root", "next", False): "the m that looks ahead is divided by 1 − β₁ᵗ, not by 1 − β₁ᵗ⁺¹",
    ("root", "v", "mean"): "g² is averaged",
    ("root", "v", "sum"): "g² is summed",
    ("root", "v", "last"): "nothing is accumulated: only the last g² counts",
    ("root", "v", "norm"): "v is the larger of β₂v and |g|, as in Adamax",
    ("root", "starts", True): "the accumulator does not start at 0",
    ("root", "largest", "v"): "the largest {v} so far counts, as in AMSGrad",
    ("root", "largest", "v̂"): "the largest {v}̂ so far counts, taken after its correction",
    ("root", "largest", "no"): "{v} itself counts, not the largest so far",
    ("root", "before", True): "{v} is used before its update",
    ("root", "centered", True): "the square of the running mean is subtracted from {v}",
    ("root", "root", False): "the square root is missing",
    ("root", "eps", "outside"): "ε stands outside of the root",
    ("root", "eps", "inside"): "ε stands inside of the root",
    ("root", "eps", "hat"): "ε is added to √{v} before the bias correction (the paper's ε̂)",
    ("root", "eps", "max"): "ε is the least denominator, and is not added",
    ("root", "eps", "after"): "ε is added to the whole fraction, not to its denominator",
    ("root", "falling", True): "the learning rate falls as 1/(1 + (t − 1) lr_decay)",
    ("root", "velocity", "velocity"): "a velocity gathers the steps",
    ("root", "velocity", "nesterov"): "a velocity gathers the steps, and looks ahead",
    ("root", "shared", "mean"): "one accumulator is shared: it averages g² over all weights",
    ("root", "shared", "sum"): "one accumulator is shared: it sums g² over all weights",
    ("adadelta", "eps", "outside"): "ε is added outside of each root",
    ("adadelta", "b", "of ηδ"): "the mean b gathers η δ, not δ",
    ("adadelta", "b", "after"): "b is used after its update",
    ("adadelta", "before", True): "a is used before its update",
    ("rprop", "turned", "stays"): "a weight whose sign turned does not move",
    ("rprop", "turned", "returns"): "a weight whose sign turned takes its last move back",
    ("rprop", "turned", "moves"): "a weight whose sign turned moves all the same",
    ("rprop", "forgets", False): (
        "the gradient that turned is not forgotten, so that the next step adapts again"
    ),
    ("rprop", "zero", "shorten"): "a gradient of 0 shortens the step",
    ("rprop", "zero", "keeps"): "a gradient of 0 leaves the step as it is",
    ("rprop", "first", "grow"): "the first update lengthens the step already",
    ("rprop", "first", "shrink"): "the first update shortens the step already",
    ("rprop", "size", "g"): "the step is multiplied by g, not by its sign",
    ("rprop", "late", True): (
        "the update is that of the step before, but 0 where the sign turned"
    ),
    ("rprop", "before", True): "the step size is used before its update",
    ("gains", "agreement", "velocity"): "signs are compared with the velocity",
    ("gains", "agreement", "gradient"): "signs are compared with the gradient before",
    ("gains", "zero", "minus"): "0 counts as a minus sign: (g > 0) != (Δ > 0)",
    ("gains", "turned", True): "the gain grows where signs turn, and shrinks where they agree",
    ("gains", "grows", "multiply"): "gains grow by a factor, not by a sum",
    ("gains", "first", "adapts"): "the first update adapts the gain already",
    ("gains", "velocity", "velocity"): "a velocity gathers the steps",
    ("gains", "velocity", "none"): "there is no velocity",
    ("gains", "before", True): "the gain is used before its update",
}
CORRECTIONS = {
    "none": "{} {have} no bias correction",
    "power": "{} {have} the bias correction 1 − βᵗ",
    "first": "{} {are} divided by 1 − β at every step",
    "t-1": "the bias correction of {} counts steps from 0",
    "t+1": "the bias correction of {} counts steps from 2",
    "2t": "the step counter of the bias correction of {} advances by 2 a step",
    "kept": "{} {are} stored after bias correction",
}
_SQUARES = {"square": "g²", "abs": "|g|", "raw": "g"}


def terms(rule: Rule, switches: tuple[str, ...]) -> Iterator[str]:
    """These switches of the rule, in words."""
    counted = [switch for switch in switches if switch.startswith("correction")]
    if len(counted) == 2 and rule["correction1"] == rule["correction2"]:
        yield _correction("m and v", rule["correction1"])
    else:
        for switch in counted:
            yield _correction("m" if switch == "correction1" else _letter(rule), rule[switch])
    for switch in switches:
        if switch in counted:
            continue
        if switch == "lag":
            yield "the update is that of the step before"
        elif switch == "of":
            done = "summed" if rule["v"] == "sum" else "averaged"
            yield f"{_SQUARES[rule['of']]} is {done}" + (
                " and not g²" if rule["of"] != "square" else ""
            )
        elif switch == "eps" and rule.settings.get("v") == "norm":
            yield f"ε is added {'within' if rule['eps'] == 'inside' else 'to'} the maximum"
        elif (rule.family, switch, rule[switch]) in TERMS:
            yield TERMS[rule.family, switch, rule[switch]].format(v=_letter(rule))


def _correction(what: str, kind: str) -> str:
    have, are = ("have", "are") if " and " in what else ("has", "is")
    return CORRECTIONS[kind].format(what, have=have, are=are)


def number(value: float) -> str:
    return f"{value:.6g}"


def lines(rule: Rule, p: Numbers) -> Iterator[str]:
    """Its lines, with their numbers."""
    match rule.family:
        case "linear" if rule["velocity"] != "none":
            yield f"Δ ← {number(p['momentum'])} Δ − η g"
            if rule["dampening"]:
                yield f"dampening {number(p['dampening'])}"
        case "root":
            yield from _root(rule, p)
        case "adadelta":
            rest = number(1 - p["rho"])
            yield f"a ← {number(p['rho'])} a + {rest} g²"
            yield f"b ← {number(p['rho'])} b + {rest} δ²"
            yield f"ε = {number(p['eps'])}"
        case "rprop":
            yield f"d × {number(p['up'])} where signs agree, × {number(p['down'])} where they turn"
            least, most = p.get("least", 0.0), p.get("most", float("inf"))
            yield f"within [{number(least)}, {number(most)}]"
            yield VARIANTS[rule["turned"]]
        case "gains":
            more, less = number(p["increase"]), number(p["decrease"])
            yield f"gain + {more} where signs agree, else × {less}"
            least, most = p.get("least", 0.0), p.get("most", float("inf"))
            yield f"within [{number(least)}, {number(most)}]"
            if rule["velocity"] != "none":
                yield f"Δ ← {number(p['momentum'])} Δ − η gain g"
        case "signs" if rule["memory"] != "none":
            yield f"sign({number(p['b1'])} m + {number(1 - p['b1'])} g)"
            yield f"m ← {number(p['b2'])} m + {number(1 - p['b2'])} g"


def _letter(rule: Rule) -> str:
    """The accumulator's letter in the papers."""
    if rule.family != "root" or rule["above"] != "g":
        return "v"
    return "ν" if rule["v"] == "mean" else "s"


def _root(rule: Rule, p: Numbers) -> Iterator[str]:
    square = _SQUARES[rule["of"]]
    letter = _letter(rule)
    if rule["above"] != "g":
        yield f"m ← {number(p['b1'])} m + {number(1 - p['b1'])} g"
    if rule["v"] == "mean":
        yield f"{letter} ← {number(p['b2'])} {letter} + {number(1 - p['b2'])} {square}"
    elif rule["v"] == "norm":
        yield f"v ← max({number(p['b2'])} v, |g|)"
    else:
        yield f"s ← s + {square}" if rule["v"] == "sum" else f"s ← {square}"
    if rule["starts"]:
        yield f"{letter} = {number(p['s0'])} at first"
    if rule["centered"]:
        yield f"{letter} − mean² under the root"
    where = {
        "outside": "outside of the root",
        "inside": "inside of the root",
        "hat": "before the correction (ε̂)",
        "max": "the least denominator",
        "after": "added to the fraction",
    }[rule["eps"]]
    if rule["v"] == "norm":
        where = "inside of the maximum" if rule["eps"] == "inside" else "beside v"
    yield f"ε = {number(p['eps'])} {where}" if p["eps"] else "no ε"
    if rule["velocity"] != "none":
        yield f"velocity with {number(p['momentum'])}"
    if rule["falling"]:
        yield f"lr_decay {number(p['lr_decay'])}"


VARIANTS = {"stays": "irprop-", "returns": "rprop+", "moves": "rprop-"}
NAMES: Mapping[str, Mapping[str, str]] = {  # of gdmethods' arguments
    "root": {"s0": "initial_accumulator_value"},
    "rprop": {
        "up": "eta_plus",
        "down": "eta_minus",
        "least": "min_step_size",
        "most": "max_step_size",
    },
    "gains": {"least": "min_gain", "most": "max_gain"},
}


def named(rule: Rule, p: Numbers) -> dict[str, float]:
    """The numbers under gdmethods' names for them."""
    names = dict(NAMES.get(rule.family, {}))
    if rule.family == "root" and rule["v"] == "mean" and rule["above"] == "g":
        names |= {"b2": "decay", "s0": "initial_scale"}
    return {names.get(name, name): float(value) for name, value in p.items()}
