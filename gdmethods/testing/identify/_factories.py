"""The factories that compute a rule, with their arguments.

Libraries differ: gdmethods keeps the learning rate inside of a velocity and
PyTorch outside, Keras adds ε inside of the root, and so on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optax

import gdmethods
from gdmethods.dialects import keras, lecture, torch
from gdmethods.testing.identify._families import Numbers, Rule
from gdmethods.testing.identify._words import VARIANTS


@dataclass(frozen=True)
class Found:
    """A rule with its numbers, as far as a factory must know them.

    Attributes:
      rule: the rule.
      rate: the learning rate.
      numbers: by name.
      inside: whether the rate is inside of the velocity; None if unknown.
      l2: λ of a decay that is added to the gradient.
      decay: λ of a decay that is added to the update, times the rate.
    """

    rule: Rule
    rate: float
    numbers: Numbers
    inside: bool | None = None
    l2: float = 0.0
    decay: float = 0.0


Call = tuple[str, Callable[..., Any], dict[str, Any]]


def calls(found: Found) -> Iterator[Call]:
    """The factories that should be this rule, with their arguments, gdmethods' first."""
    yield from _OF[found.rule.family](found)


def _decays(found: Found, l2: bool, decoupled: bool) -> Any:
    """The argument for weight decay; None where the factory has no such decay."""
    if (found.l2 and not l2) or (found.decay and not decoupled):
        return None
    decay = found.l2 or found.decay
    return {"weight_decay": decay} if decay else {}


def _linear(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if r["lag"] or r["velocity"] == "swapped":
        return
    plain = not (f.l2 or f.decay or r["dampening"])
    l2, decoupled = _decays(f, True, False), _decays(f, False, True)
    if r["velocity"] == "none":
        either = _decays(f, True, True)  # without memory the two are one
        if plain:
            yield "gdmethods.sgd", gdmethods.sgd, {"learning_rate": lr}
        yield "torch.sgd", torch.sgd, {"lr": lr, **either}
        yield "keras.sgd", keras.sgd, {"learning_rate": lr, **either}
        if plain:
            yield "optax.sgd", optax.sgd, {"learning_rate": lr}
        return
    mu = p["momentum"]
    ahead = r["velocity"] == "nesterov"
    looks = {"nesterov": True} if ahead else {}
    name = "nesterov" if ahead else "momentum"
    inside, outside = f.inside is not False, f.inside is not True
    if plain and inside:
        arguments = {"learning_rate": lr, "momentum": mu}
        yield f"gdmethods.{name}", getattr(gdmethods, name), arguments
    if l2 is not None and outside:
        damp = {"dampening": p["dampening"]} if r["dampening"] else {}
        yield "torch.sgd", torch.sgd, {"lr": lr, "momentum": mu, **damp, **looks, **l2}
    if decoupled is not None and inside and not r["dampening"]:
        arguments = {"learning_rate": lr, "momentum": mu, **looks, **decoupled}
        yield "keras.sgd", keras.sgd, arguments
    if plain and inside:
        yield f"lecture.{name}", getattr(lecture, name), {"eta": lr, "gamma": mu}
    if plain and outside:
        yield "optax.sgd", optax.sgd, {"learning_rate": lr, "momentum": mu, **looks}


def _root(f: Found) -> Iterator[Call]:
    r = f.rule
    if r["of"] != "square" or not r["root"] or r["before"] or r["lag"] or r["shared"] != "no":
        return
    if r["velocity"] == "nesterov":
        return
    if r["above"] == "g" and r["largest"] == "no" and r["v"] == "sum":
        yield from _adagrad(f)
    elif r["above"] == "g" and r["largest"] == "no" and r["v"] == "mean" and not r["falling"]:
        yield from _rmsprop(f)
    elif not (r["centered"] or r["falling"] or r["starts"] or r["velocity"] != "none"):
        yield from _adam(f)


def _adagrad(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if r["centered"] or r["velocity"] != "none" or r["correction2"] != "none":
        return
    plain, eps, s0 = not (f.l2 or f.decay), p["eps"], p.get("s0", 0.0)
    l2, decoupled = _decays(f, True, False), _decays(f, False, True)
    start = {"initial_accumulator_value": s0}
    if r["eps"] == "outside":
        if plain and not r["falling"]:
            arguments = {"learning_rate": lr, "eps": eps, **start}
            yield "gdmethods.adagrad", gdmethods.adagrad, arguments
        if l2 is not None:
            falls = {"lr_decay": p["lr_decay"]} if r["falling"] else {}
            yield "torch.adagrad", torch.adagrad, {"lr": lr, "eps": eps, **falls, **start, **l2}
    if r["eps"] == "inside" and not r["falling"]:
        if plain:
            arguments = {"learning_rate": lr, "eps": 0.0, "eps_root": eps, **start}
            yield "gdmethods.adagrad", gdmethods.adagrad, arguments
        for epsilon, s in ((1e-7, round(eps + s0 - 1e-7, 12)), (eps, s0)):
            if decoupled is not None and s >= 0:
                arguments = {"learning_rate": lr, "epsilon": epsilon, **decoupled}
                arguments["initial_accumulator_value"] = s
                yield "keras.adagrad", keras.adagrad, arguments
                break
        if plain and s0 == 0:
            yield "lecture.adagrad", lecture.adagrad, {"eta": lr, "eps": eps}
            for epsilon, s in ((1e-7, round(eps - 1e-7, 12)), (eps, 0.0)):
                if s >= 0:
                    arguments = {"learning_rate": lr, "eps": epsilon}
                    arguments["initial_accumulator_value"] = s
                    yield "optax.adagrad", optax.adagrad, arguments
                    break


def _rmsprop(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if r["eps"] not in ("inside", "outside") or r["correction2"] not in ("none", "power"):
        return
    plain, eps, beta = not (f.l2 or f.decay), p["eps"], p["b2"]
    l2, decoupled = _decays(f, True, False), _decays(f, False, True)
    mu = {"momentum": p["momentum"]} if r["velocity"] == "velocity" else {}
    centered = {"centered": True} if r["centered"] else {}
    start = {"initial_scale": p["s0"]} if r["starts"] else {}
    corrected = {"bias_correction": True} if r["correction2"] == "power" else {}
    inside, outside = f.inside is not False, f.inside is not True
    ours = {**start, **centered, **mu, **corrected}
    if plain and inside:
        within = {"eps": 0.0, "eps_root": eps} if r["eps"] == "inside" else {"eps": eps}
        arguments = {"learning_rate": lr, "decay": beta, **within, **ours}
        yield "gdmethods.rmsprop", gdmethods.rmsprop, arguments
    if start == corrected == {}:
        if r["eps"] == "outside" and outside and l2 is not None:
            arguments = {"lr": lr, "alpha": beta, "eps": eps, **mu, **centered, **l2}
            yield "torch.rmsprop", torch.rmsprop, arguments
        if r["eps"] == "inside" and inside and decoupled is not None:
            arguments = {"learning_rate": lr, "rho": beta, "epsilon": eps, **mu, **centered}
            yield "keras.rmsprop", keras.rmsprop, {**arguments, **decoupled}
        if r["eps"] == "inside" and plain and not mu and not centered:
            yield "lecture.rmsprop", lecture.rmsprop, {"eta": lr, "beta": beta, "eps": eps}
    if plain and inside:
        within = {} if r["eps"] == "inside" else {"eps_in_sqrt": False}
        arguments = {"learning_rate": lr, "decay": beta, "eps": eps, **within, **ours}
        yield "optax.rmsprop", optax.rmsprop, arguments


def _adam(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    plain, eps = not (f.l2 or f.decay), p["eps"]
    if r["above"] == "g" or "b2" not in p:
        return
    b1, b2 = p["b1"], p["b2"]
    l2, decoupled = _decays(f, True, False), _decays(f, False, True)
    betas = {"b1": b1, "b2": b2}
    ours = {"learning_rate": lr, **betas, "eps": eps}
    theirs = {"lr": lr, "betas": (b1, b2), "eps": eps}
    kerass = {"learning_rate": lr, "beta_1": b1, "beta_2": b2, "epsilon": eps}
    corrections = (r["correction1"], r["correction2"])
    if r["above"] == "nadam" and plain and corrections == ("power", "power"):
        if r["eps"] == "outside" and r["largest"] == "no":
            yield "optax.nadam", optax.nadam, ours
        return
    if r["above"] != "m":
        return
    if r["v"] == "norm":
        if plain and corrections == ("power", "none") and r["eps"] == "inside":
            yield "optax.adamax", optax.adamax, ours
        return
    if r["v"] != "mean":
        return
    match r["largest"], corrections, r["eps"]:
        case "no", ("power", "power"), "outside" | "inside":
            inside = r["eps"] == "inside"
            ours = {**ours, "eps": 0.0, "eps_root": eps} if inside else ours
            if f.decay:
                decayed = {**ours, "weight_decay": f.decay}
                yield "gdmethods.adamw", gdmethods.adamw, decayed
                if not inside:
                    yield "torch.adamw", torch.adamw, {**theirs, "weight_decay": f.decay}
                yield "optax.adamw", optax.adamw, decayed
                return
            if plain:
                yield "gdmethods.adam", gdmethods.adam, ours
            if not inside:
                yield "torch.adam", torch.adam, {**theirs, **l2}
            if plain:
                yield "optax.adam", optax.adam, ours
        case "no", ("none", "none"), "outside" | "inside":
            ours = {**ours, "eps": 0.0, "eps_root": eps} if r["eps"] == "inside" else ours
            uncorrected = {**ours, "bias_correction": False}
            if plain:
                yield "gdmethods.adam", gdmethods.adam, uncorrected
            if f.decay:
                decayed = {**uncorrected, "weight_decay": f.decay}
                yield "gdmethods.adamw", gdmethods.adamw, decayed
        case "no", ("first", "first"), "inside":
            if plain:
                arguments = {"eta": lr, "beta1": b1, "beta2": b2, "eps": eps}
                yield "lecture.adam", lecture.adam, arguments
        case "no", ("power", "power"), "hat":
            if decoupled is not None:
                name = "adamw" if f.decay else "adam"
                yield f"keras.{name}", getattr(keras, name), {**kerass, **decoupled}
        case "v", ("power", "power"), "outside":
            if l2 is not None:
                yield "torch.adam", torch.adam, {**theirs, "amsgrad": True, **l2}
        case "v", ("power", "power"), "hat":
            if decoupled is not None:
                yield "keras.adam", keras.adam, {**kerass, "amsgrad": True, **decoupled}
        case "v̂", ("power", "power"), "outside":
            if plain:
                yield "optax.amsgrad", optax.amsgrad, ours


def _adadelta(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if r.switches:
        return
    plain = not (f.l2 or f.decay)
    l2, decoupled = _decays(f, True, False), _decays(f, False, True)
    rho, eps = {"rho": p["rho"]}, p["eps"]
    ours = {"learning_rate": lr, **rho, "eps": eps}
    if plain:
        yield "gdmethods.adadelta", gdmethods.adadelta, ours
    if l2 is not None:
        yield "torch.adadelta", torch.adadelta, {"lr": lr, **rho, "eps": eps, **l2}
    if decoupled is not None:
        arguments = {"learning_rate": lr, **rho, "epsilon": eps, **decoupled}
        yield "keras.adadelta", keras.adadelta, arguments
    if plain:
        yield "optax.adadelta", optax.adadelta, ours


def _rprop(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    least, most = p.get("least", 0.0), p.get("most", float("inf"))
    first, every = f.inside is not False, f.inside is not True  # steps that the rate enters
    if f.l2 or f.decay:
        return
    if dict(r.switches) == {"turned": "moves", "zero": "shorten"} and every:
        yield "lecture.rprop", lecture.rprop, {"eta": lr}
    if not first:
        return
    factors = {"eta_minus": p["down"], "eta_plus": p["up"]}
    ours = {"learning_rate": lr, **factors, "min_step_size": least, "max_step_size": most}
    if set(dict(r.switches)) <= {"turned"}:
        variant = {"variant": VARIANTS[r["turned"]]}
        yield "gdmethods.rprop", gdmethods.rprop, {**ours, **variant}
    if not r.switches:
        theirs = {"etas": (p["down"], p["up"]), "step_sizes": (least, most)}
        yield "torch.rprop", torch.rprop, {"lr": lr, **theirs}
    if dict(r.switches) == {"late": True}:
        yield "optax.rprop", optax.rprop, ours


def _gains(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if f.l2 or f.decay or not set(dict(r.switches)) <= {"agreement", "velocity"}:
        return
    least, most = p.get("least", 0.0), p.get("most", float("inf"))
    limits = {"min_gain": least, "max_gain": most}
    change = {"increase": p["increase"], "decrease": p["decrease"]}
    agreement = {"agreement": r["agreement"]}
    mu = {"momentum": p["momentum"]} if r["velocity"] != "none" else {}
    ours = {"learning_rate": lr, **mu, **change, **limits, **agreement}
    yield "gdmethods.adaptive_gains", gdmethods.adaptive_gains, ours
    if not r.switches and (p["increase"], p["decrease"]) == (0.05, 0.95):
        yield "lecture.adaptive_gains", lecture.adaptive_gains, {"eta": lr, **limits}


def _signs(f: Found) -> Iterator[Call]:
    r, p, lr = f.rule, f.numbers, f.rate
    if f.l2 or r["lag"]:
        return
    if r["memory"] == "none":
        if not f.decay:
            yield "optax.sign_sgd", optax.sign_sgd, {"learning_rate": lr}
    else:
        betas = {"b1": p["b1"], "b2": p["b2"]}
        yield "optax.lion", optax.lion, {"learning_rate": lr, **betas, "weight_decay": f.decay}


_OF: Mapping[str, Callable[[Found], Iterator[Call]]] = {
    "linear": _linear,
    "root": _root,
    "adadelta": _adadelta,
    "rprop": _rprop,
    "gains": _gains,
    "signs": _signs,
}
