"""Roads: what makes, reads, converts, carries, counts or wraps a state.

A road is a row of the table. It crosses a situation, and claims in the end that its numbers are
those of the straight road, of the oracles in NumPy. A road that a situation blocks says how in
`refused`: the error, and the words of it that name the way out. What makes no sense at all stands
in `senseless`, with its reason.
"""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from oracles.adam import adam as adam_in_numpy
from oracles.conventions import at
from oracles.momentum import momentum as momentum_in_numpy
from oracles.nesterov import nesterov as nesterov_in_numpy
from table import METHODS

import gdmethods
from crossings.situations import CUT, RATE, RATES, STEPS, Arrays, Factory, Situation
from gdmethods import rules
from gdmethods._engine.public_name import public_name
from gdmethods.dialects import keras, lecture, torch

# The rules that stand on the roads.


@dataclass(frozen=True)
class Rule:
    """One method, here and elsewhere.

    numbers: its hyperparameters, by the names that all factories share.
    oracle: from the gradients that a leaf has seen, its numbers and its start to displacements.
    """

    ours: Callable[..., Any]
    optax: Callable[..., Any]
    torch: Callable[..., Any] | None
    keras: Callable[..., Any] | None
    numbers: Mapping[str, Any]
    oracle: Callable[[list[np.ndarray], Mapping[str, Any], np.ndarray], list[np.ndarray]]


def adam_oracle(
    seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray
) -> list[np.ndarray]:
    return adam_in_numpy(seen, numbers["learning_rate"])


def momentum_oracle(
    seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray
) -> list[np.ndarray]:
    return momentum_in_numpy(seen, **numbers)


def nesterov_oracle(
    seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray, weights: bool = False
) -> list[np.ndarray]:
    """The moves of the look-ahead points, or of the weights behind them."""
    gradients = [*seen, np.zeros_like(seen[0])]  # the last point does not ask for one
    mu = numbers["momentum"]
    if callable(mu):  # injected, it counts from the next look-ahead on
        numbers = {**numbers, "momentum": lambda count: mu(max(count - 1, 0))}
    start = np.zeros_like(seen[0])
    points, behind = nesterov_in_numpy(
        lambda y, t: gradients[t - 1], start, len(gradients), **numbers
    )
    path = [start, *behind[:-1]] if weights else points
    return [after - before for before, after in itertools.pairwise(path)]


def begun_by_optax(
    seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray, points: bool = False
) -> list[np.ndarray]:
    """Momentum whose first `CUT` steps are Optax's, with the rate outside of its trace.

    `points` moves the look-ahead points of Nesterov.
    """
    trace = np.zeros_like(seen[0])
    moves = []
    for t, g in enumerate(seen):
        rate, mu = (at(numbers[name], t + 1) for name in ("learning_rate", "momentum"))
        if t < CUT:
            trace = mu * trace + g
            velocity = -rate * trace
        else:
            looked_ahead = at(numbers["momentum"], t) if points else mu
            velocity = looked_ahead * velocity - rate * g
        moves.append(mu * velocity - rate * g if points else velocity)
    return moves


class OwnState(NamedTuple):
    count: rules.Count  # type: ignore[assignment]
    mu: rules.Signed
    nu: rules.Square


@rules.optimizer(OwnState, eight_bits=("mu", "nu"))
def own(g, s, learning_rate: rules.Rate, *, accumulator_dtype=None):
    """Adam, as a user may write it."""
    g = rules.squarable(g, s.nu)
    m = 0.9 * s.mu + 0.1 * g
    s.nu = 0.999 * s.nu + 0.001 * rules.square(g)
    s.mu = m
    mean = s.mu / rules.one_minus_power(0.9, s.count)
    square = rules.positive(s.nu) / rules.one_minus_power(0.999, s.count)
    return -learning_rate * mean / (jnp.sqrt(square) + 1e-8)


ADAM = Rule(
    ours=gdmethods.adam,
    optax=optax.adam,
    torch=lambda learning_rate, betas=(0.9, 0.999): torch.adam(lr=learning_rate, betas=betas),
    keras=None,
    numbers={"learning_rate": 0.1},
    oracle=adam_oracle,
)
OWN = Rule(
    own,
    optax.adam,
    lambda learning_rate, betas=None: own(learning_rate),
    own,
    ADAM.numbers,
    adam_oracle,
)
KERAS_ADAM = dataclasses.replace(  # Keras adds its eps to another root
    ADAM,
    keras=lambda learning_rate: keras.adam(learning_rate, epsilon=0.0),
    oracle=lambda seen, numbers, w: adam_in_numpy(seen, **numbers, eps=0.0),
)
MOMENTUM = Rule(
    gdmethods.momentum,
    optax.sgd,
    None,
    None,
    {"learning_rate": 0.1, "momentum": 0.9},
    momentum_oracle,
)
NESTEROV = Rule(
    gdmethods.nesterov,
    functools.partial(optax.sgd, nesterov=True),
    None,
    None,
    {"learning_rate": 0.1, "momentum": 0.9},
    nesterov_oracle,
)


# What all roads have in common.


class Claim(NamedTuple):
    """Numbers that came, and those of the straight road.

    tolerance: beside that of their dtype; None for equal bits.
    """

    actual: Any
    expected: Any
    tolerance: float | None = 0.0


Refusal = tuple[type[Exception], str]


@dataclass(frozen=True)
class Road:
    """One way through a public function.

    public: the functions that it goes through.
    cross: what it claims in the end.
    rule: what the transformation is built of.
    dtype: of the weights, where the situation does not tell.
    wide: whether it asks for 64-bit JAX, whatever the dtype.
    refused: by the situation, with the error and the words that name the way out.
    refused_elsewhere: likewise, in all other situations.
    senseless: by the situation, with the reason.
    is_cheap: whether quick tests have it.
    """

    public: tuple[Callable[..., Any], ...]
    cross: Callable[["Crossing"], list[Claim]]
    rule: Rule = ADAM
    dtype: str = "float64"
    wide: bool = False
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    refused_elsewhere: Refusal | None = None
    senseless: Mapping[str, str] = field(default_factory=dict)
    is_cheap: bool = True

    def refusal(self, situation: str) -> Refusal | None:
        return self.refused.get(situation, self.refused_elsewhere)


class Crossing:
    """Where a road meets a situation: what both decide."""

    def __init__(self, road: Road, situation: Situation) -> None:
        self.dtype, self.s = road.dtype, situation
        self.rule = OWN if situation.own_rule else road.rule
        self.dtypes = {leaf: situation.dtype(leaf, road.dtype) for leaf in "ab"}
        self.start, self.raw = situation.weights(road.dtype), situation.gradients(road.dtype)
        self.roughly = 2**-3 if any("16" in dtype for dtype in self.dtypes.values()) else 0.0

    @property
    def params(self) -> Any:
        return self.tree(self.start)

    @property
    def gradients(self) -> list[Any]:
        return [self.tree(g) for g in self.raw]

    def tree(self, arrays: Arrays) -> Any:
        return self.s.tree(arrays, self.dtype)

    def build(self, factory: Factory, **others: Any) -> Any:
        """With others beside the numbers, which `optax.inject_hyperparams` does not see."""

        @functools.wraps(factory)
        def with_others(**numbers: Any) -> Any:
            return factory(**{**numbers, **others})

        return self.s.build(with_others, self.rule.numbers)

    def expected(self, since: int = 0, oracle: Any = None) -> list[Arrays]:
        """The updates of the straight road."""
        return self.s.expected(
            oracle or self.rule.oracle, self.rule.numbers, self.start, self.raw, since
        )

    def weights(self, steps: int = STEPS, oracle: Any = None) -> Arrays:
        """Those of the straight road after so many steps."""
        moves = Situation.expected(
            self.s, oracle or self.rule.oracle, self.rule.numbers, self.start, self.raw, 0
        )
        return {k: w + sum(move[k] for move in moves[:steps]) for k, w in self.start.items()}

    def seen(self, leaf: str, steps: int) -> list[np.ndarray]:
        return self.s.seen(leaf, [np.asarray(g[leaf]) for g in self.raw[:steps]])

    def slots(self, leaf: str, steps: int) -> Arrays:
        """Adam's m and v on the straight road."""
        m = v = 0.0
        for g in self.seen(leaf, steps):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * np.abs(g) ** 2
        return {"mu": m, "nu": v}

    def begun(self, tx: Any, steps: int = CUT) -> tuple[Any, Any]:
        """The parameters and the state at the crossing."""
        start = self.params
        params, state = self.s.past(tx, start, self.s.init(tx, start), self.gradients[:steps])
        return params, self.s.restored(state, self.s.init(tx, params))

    def walk(self, tx: Any, params: Any, state: Any, since: int) -> Any:
        return self.s.walk(tx, params, state, self.gradients[since:])


def around(wrap: Callable[[Any], Any], x: Crossing) -> Any:
    """The wrapper around what the situation builds."""
    return wrap(x.build(x.rule.ours))


def within(wrap: Callable[[Any], Any], x: Crossing) -> Any:
    """The wrapper around each method, in what the situation builds."""

    @functools.wraps(x.rule.ours)
    def build(**numbers: Any) -> Any:
        return wrap(x.rule.ours(**numbers))

    return x.build(build)


def slots_in(state: Any, name: str) -> Arrays:
    """The slots of a name wherever they stand, by the leaf."""
    return {
        path[-1].key: np.array(leaf)  # a copy, since a view would keep it from being donated
        for path, leaf in jax.tree.leaves_with_path(state)
        if jax.tree_util.GetAttrKey(name) in path
    }


# The roads.


def a_method(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.ours)
    *_, updates = x.walk(tx, *x.begun(tx), CUT)
    return [Claim(updates, x.expected(CUT))]


def from_optax(x: Crossing, oracle: Any = None, *, one_rate: bool = False) -> list[Claim]:
    """Where Optax keeps slots as narrow as the weights, they are as rough."""
    old, tx = x.build(x.rule.optax), x.build(x.rule.ours)
    rate = x.s.last_rate(x.rule.numbers) if "momentum" in x.rule.numbers else None
    rate = x.rule.numbers["learning_rate"] if one_rate else rate
    params, state = x.begun(old)
    state = x.s.called(
        lambda params, state: gdmethods.from_optax(tx, params, state, learning_rate=rate),
        params,
        state,
    )
    *_, updates = x.walk(tx, params, state, CUT)
    return [Claim(updates, x.expected(CUT, oracle), x.roughly)]


def from_optax_into_a_method_alone(x: Crossing) -> list[Claim]:
    tx = x.rule.ours(**x.rule.numbers)
    params, state = x.begun(x.build(x.rule.optax))
    state = x.s.called(functools.partial(gdmethods.from_optax, tx), params, state)
    *_, updates = x.walk(tx, params, state, CUT)
    return [Claim(updates, x.expected(CUT), x.roughly)]


EVEN = 2  # steps of another library, which accumulates by itself


def torch_run(x: Crossing, names: bool) -> tuple[Arrays, dict[str, Any]]:
    """The named weights and the state_dict of PyTorch, by NumPy alone."""
    weights = {k: np.asarray(w, x.dtypes[k]) for k, w in x.weights(EVEN).items()}
    indices = {leaf: i for i, leaf in enumerate("".join(x.s.groups))}
    entries = {
        indices[leaf]: {"step": np.float32(len(x.seen(leaf, EVEN)))}
        | {
            {"mu": "exp_avg", "nu": "exp_avg_sq"}[name]: np.asarray(slot, x.dtypes[leaf])
            for name, slot in x.slots(leaf, EVEN).items()
        }
        for leaf in x.s.trained
    }
    rates = {leaf: x.s.numbers(x.rule.numbers, leaf)["learning_rate"] for leaf in "ab"}
    groups = [
        {"lr": rates[group[0]], "betas": (0.9, 0.999), "params": [indices[leaf] for leaf in group]}
        | ({"param_names": [*group]} if names else {})
        for group in x.s.groups
    ]
    for group in groups if callable(rates["a"]) else ():
        del group["lr"]
    return weights, {"state": entries, "param_groups": groups}


def from_state_dict(x: Crossing, *, names: bool = True, **others: Any) -> list[Claim]:
    tx = x.build(x.rule.torch, **others)

    def load(run: Any) -> Any:
        return torch.from_state_dict(tx, *run, lambda named: {**named, **x.s.nothing})

    weights, state_dict = torch_run(x, names)
    params, state = x.s.loaded(load, (weights, state_dict))
    state = x.s.restored(state, x.s.init(tx, params))
    *_, updates = x.walk(tx, params, state, EVEN)
    return [Claim(updates, x.expected(EVEN))]


def to_state_dict(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.torch)
    params, state = x.begun(tx, steps=EVEN)
    weights, state_dict = torch_run(x, names=True)

    def save(params: Any, state: Any, weights: Any) -> Any:
        weights = jax.tree.map(np.zeros_like, weights)
        new = state_dict | {"state": {}}
        named, came = torch.to_state_dict(
            tx, params, state, weights, new, lambda named: {**named, **x.s.nothing}
        )
        return named, came["state"]

    named, entries = x.s.saved(save, params, state, weights)
    return [Claim(named, weights), Claim(entries, state_dict["state"])]


def keras_run(x: Crossing) -> tuple[Arrays, list[Any]]:
    weights = {k: np.asarray(w, x.dtypes[k]) for k, w in x.weights(EVEN).items()}
    rate = x.s.numbers(x.rule.numbers, "a")["learning_rate"]
    slots = [
        np.asarray(slot * (leaf in x.s.trained), x.dtypes[leaf])
        for leaf in "ab"
        for slot in x.slots(leaf, EVEN).values()
    ]
    count = np.int32(len(x.seen("a", EVEN)))
    return weights, [count, *([] if callable(rate) else [np.float32(rate)]), *slots]


def from_variables(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.keras)

    def load(run: Any) -> Any:
        return keras.from_variables(tx, *run, lambda named: {**named, **x.s.nothing})

    params, state = x.s.loaded(load, keras_run(x))
    state = x.s.restored(state, x.s.init(tx, params))
    *_, updates = x.walk(tx, params, state, EVEN)
    return [Claim(updates, x.expected(EVEN))]


def to_variables(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.keras)
    params, state = x.begun(tx, steps=EVEN)
    weights, variables = keras_run(x)

    def save(params: Any, state: Any, weights: Any, variables: Any) -> Any:
        weights = jax.tree.map(np.zeros_like, weights)
        variables = [v if v.dtype == np.float32 and not v.ndim else 0 * v for v in variables]
        return keras.to_variables(
            tx, params, state, weights, variables, lambda named: {**named, **x.s.nothing}
        )

    named, came = x.s.saved(save, params, state, weights, variables)
    return [Claim(named, weights), Claim(came, variables)]


def converted(x: Crossing, tx: Any, params: Any, state: Any) -> Any:
    return x.s.called(functools.partial(gdmethods.convert_state, tx), params, state)


def to_bfloat16_and_back(x: Crossing) -> list[Claim]:
    wide, narrow = (x.build(x.rule.ours, accumulator_dtype=d) for d in (None, jnp.bfloat16))
    params, state = x.begun(wide)
    stored = converted(x, narrow, params, state)
    back = converted(x, wide, params, stored)
    claims = []
    for name in ("mu", "nu"):
        nearest = {
            leaf: np.asarray(slot, jnp.bfloat16 if slot.dtype.kind == "f" else slot.dtype)
            for leaf, slot in slots_in(state, name).items()
        }
        claims += [Claim(slots_in(each, name), nearest, None) for each in (stored, back)]
    *_, updates = x.walk(wide, params, back, CUT)
    return [*claims, Claim(updates, x.expected(CUT), 2**-6)]


def to_wider_numbers(x: Crossing) -> list[Claim]:
    tx, wide = (x.build(x.rule.ours, accumulator_dtype=d) for d in ("float32", "float64"))
    params, state = x.begun(tx)
    kept = [slots_in(state, name) for name in ("mu", "nu")]
    state = converted(x, wide, params, state)
    claims = [
        Claim(slots_in(state, name), slots, None)
        for name, slots in zip(("mu", "nu"), kept, strict=True)
    ]
    *_, updates = x.walk(wide, params, state, CUT)
    return [*claims, Claim(updates, x.expected(CUT), 4e-6)]


def levels(first: float, count: int) -> np.ndarray:
    """The numbers of 8 bits: an octave has 8 with even spacing."""
    k = np.arange(count)
    return first * 2.0 ** (k // 8) * (1 + k % 8 / 8)


ROOTS = np.concatenate([[0.0], levels(2.0**-20, 253), [np.inf, np.nan]]) ** 2
RATIOS = levels(2.0**-10, 128) - 2.0**-10


def decoded(mu: np.ndarray, nu: np.ndarray) -> Arrays:
    """The numbers of codes, and of bfloat16, which m has where β₁ is injected."""
    if nu.dtype != np.uint8:
        return {"mu": mu, "nu": nu}
    root = ROOTS[nu]
    m = root * np.concatenate([RATIOS, -RATIOS])[mu] if mu.dtype == np.uint8 else mu
    return {"mu": m, "nu": root**2}


def read(x: Crossing, params: Any, state: Any) -> Any:
    return x.s.called(gdmethods.read_state, state)


def into_float32(x: Crossing, params: Any, state: Any) -> Any:
    return converted(x, x.build(x.rule.ours, accumulator_dtype="float32"), params, state)


def from_eight_bits(x: Crossing, road: Callable[..., Any]) -> list[Claim]:
    tx = x.build(x.rule.ours, accumulator_dtype="8bit")
    params, state = x.begun(tx)
    if x.s.derivative:
        x.walk(tx, params, state, CUT)
    codes = {name: slots_in(state, name) for name in ("mu", "nu")}
    straight = {leaf: decoded(codes["mu"][leaf], codes["nu"][leaf]) for leaf in codes["nu"]}
    numbers = road(x, params, state)
    return [
        Claim(slots_in(numbers, name), {leaf: m_v[name] for leaf, m_v in straight.items()}, 4e-6)
        for name in codes
    ]


def state_ranges(x: Crossing) -> list[Claim]:
    """Of gradients that are 0, too small, and neither."""
    for raw in x.raw:
        for leaf, g in raw.items():
            g.reshape(-1)[::3] = 0
            g.reshape(-1)[1::3] = np.asarray(1e-15, x.dtypes[leaf])
    _, state = x.begun(x.build(x.rule.ours, accumulator_dtype="8bit"))
    ranges = x.s.called(gdmethods.state_ranges, state)
    found = {}
    for path, leaf in jax.tree.leaves_with_path(ranges):
        *_, slot, name, share = path
        if slot == jax.tree_util.GetAttrKey("nu"):
            found[name.key, share.name] = np.asarray(leaf)

    def shares(leaf: str) -> Arrays:
        axes = tuple(range(x.s.members, len(x.s.shape)))
        root = np.sqrt(x.slots(leaf, CUT)["nu"])
        of = {"zero": root == 0, "floor": (root > 0) & (root < 2.0**-40), "top": root > 9e6}
        count = max(1, np.prod([x.s.shape[axis] for axis in axes]))
        return {name: np.sum(held, axes) / count for name, held in of.items()}

    straight = {(leaf, k): share for leaf in x.s.trained for k, share in shares(leaf).items()}
    return [Claim(found, straight)]


class FirstState(NamedTuple):
    first: Any


FIRST = optax.GradientTransformation(
    FirstState, lambda updates, state, params=None: (updates, state)
)
"""Keeps the weights that it starts from, as `optax.contrib.schedule_free` does."""


def starting_from_float32(x: Crossing, *, remainder: bool = True) -> list[Claim]:
    """With numbers that bfloat16 does not have."""

    def wrap(tx: Any) -> Any:
        return master(remainder)(optax.chain(tx, FIRST))

    for leaf, w in x.start.items():
        if x.dtypes[leaf] == "float32":
            w += 2.0**-12
    tx, given = within(wrap, x), x.params
    params, state = x.s.called(functools.partial(gdmethods.init_from_float32, tx), given)
    rounded = {
        leaf: np.asarray(w, "bfloat16" if x.dtypes[leaf] == "float32" else x.dtypes[leaf])
        for leaf, w in x.start.items()
    }
    claims = [
        Claim(without_none(params), rounded, None),
        Claim(slots_in(state, "first"), {leaf: x.start[leaf] for leaf in x.s.trained}, None),
        Claim(without_none(x.s.called(gdmethods.master_params, state, params)), x.start, None),
    ]
    claims = jax.tree.map(np.array, claims)
    state = x.s.restored(state, x.s.init(tx, params))
    params, state = x.s.past(tx, params, state, x.gradients[:CUT])
    params, state, updates = x.walk(tx, params, state, CUT)
    masters = without_none(x.s.called(gdmethods.master_params, state, params))
    return [
        *claims,
        Claim(masters, x.weights(), 4e-6),
        Claim(without_none(given), x.start, None),
        *derivatives(x, updates),
    ]


def without_none(tree: Any) -> Any:
    return {leaf: x for leaf, x in tree.items() if x is not None}


def master(remainder: bool) -> Callable[[Any], Any]:
    return functools.partial(gdmethods.with_float32_master, remainder=remainder)


def with_master(x: Crossing, place: Callable[..., Any], *, remainder: bool = True) -> list[Claim]:
    tx = place(master(remainder), x)
    params, state, updates = x.walk(tx, *x.begun(tx), CUT)
    masters = without_none(x.s.called(gdmethods.master_params, state, params))
    weights = {leaf: np.asarray(m, x.dtypes[leaf]) for leaf, m in masters.items()}
    return [
        Claim(masters, x.weights(), 4e-6),
        Claim(without_none(params), weights, None),
        *derivatives(x, updates),
    ]


def derivatives(x: Crossing, updates: Any) -> list[Claim]:
    """Straight through rounding; updates themselves are differences of rounded weights."""
    return [Claim(updates, x.expected(CUT), 2**-5)] if x.s.derivative else []


def into_the_other_form(x: Crossing) -> list[Claim]:
    """A master's: from remainders to whole ones and back."""
    parts, whole = (around(master(remainder), x) for remainder in (True, False))
    params, state = x.begun(parts)
    other = converted(x, whole, params, state)
    back = converted(x, parts, params, other)
    masters = without_none(x.s.called(gdmethods.master_params, other, params))
    claims = [
        Claim(masters, x.weights(CUT), 4e-6),
        Claim(back, jax.tree.map(np.asarray, state), None),
    ]
    params, other, updates = x.walk(whole, params, other, CUT)
    masters = without_none(x.s.called(gdmethods.master_params, other, params))
    return [*claims, Claim(masters, x.weights(), 4e-6), *derivatives(x, updates)]


def played(displacements: list[np.ndarray]) -> optax.GradientTransformation:
    """Moves that were fixed before."""

    def update(updates: Any, count: Any, params: Any = None) -> Any:
        return jnp.asarray(displacements[count], updates.dtype), count + 1

    return optax.GradientTransformation(lambda params: 0, update)


def with_rounding(x: Crossing, place: Callable[..., Any]) -> list[Claim]:
    """Each new weight is a neighbour of the straight road's, that which its bits choose alone."""
    tx = place(gdmethods.with_stochastic_rounding, x)
    params, _, updates = x.walk(tx, *x.begun(tx), CUT)
    oracle = x.rule.oracle
    if place is around:
        moves = Situation.expected(x.s, oracle, x.rule.numbers, x.start, x.raw, 0)
        straight = {
            leaf: rounded_alone(x, leaf, [g[leaf] for g in x.raw], [move[leaf] for move in moves])
            for leaf in "ab"
        }
    else:
        straight = {}
        for leaf in "ab":
            seen = x.seen(leaf, STEPS)
            moves = oracle(seen, x.s.numbers(x.rule.numbers, leaf), x.start[leaf])
            straight[leaf] = (
                rounded_alone(x, leaf, seen, moves) if leaf in x.s.trained else x.weights()[leaf]
            )
    return [Claim(without_none(params), straight), *derivatives(x, updates)]


def rounded_alone(
    x: Crossing, leaf: str, seen: list[np.ndarray], moves: list[np.ndarray]
) -> np.ndarray:
    """The weights at the end, of a leaf alone and step by step."""
    dtype = x.dtypes[leaf]
    tx = gdmethods.with_stochastic_rounding(played(moves))
    w = jnp.asarray(x.start[leaf], dtype)
    state = tx.init(w)
    for g, move in zip(seen, moves, strict=True):
        before = np.asarray(w, np.result_type(move, np.float64))
        update, state = tx.update(jnp.asarray(g, dtype), state, w)
        w = (w.astype(update.dtype) + update).astype(dtype)
        unit = 2.0**16 * np.spacing(np.float32(np.abs(before) + np.abs(move)))
        finite = np.isfinite(before)
        off = np.abs(np.asarray(w, before.dtype)[finite] - before[finite] - move[finite])
        assert np.all(off <= unit[finite]) or dtype != "bfloat16"
        assert np.array_equal(np.asarray(w, before.dtype)[~finite], before[~finite])
    return np.asarray(w)


BAD = 2  # the step whose gradients are no numbers


def skipping(x: Crossing, place: Callable[..., Any]) -> list[Claim]:
    tx = place(lambda tx: gdmethods.skip_nonfinite_steps(tx, None), x)
    straight = x.rule.oracle

    def of_the_finite(
        seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray
    ) -> list[np.ndarray]:
        """The count of an injection around the wrapper goes on, and so does its schedule."""
        finite = [t for t, g in enumerate(seen) if np.all(np.isfinite(g))]
        those = {
            name: (lambda k, f=number: f(finite[k]))
            if callable(number) and place is within
            else number
            for name, number in numbers.items()
        }
        moves = dict(zip(finite, straight([seen[t] for t in finite], those, w), strict=True))
        return [moves.get(t, np.zeros_like(g)) for t, g in enumerate(seen)]

    if place is around:
        good = x.raw[:BAD] + x.raw[BAD + 1 :]
        expected = x.s.expected(straight, x.rule.numbers, x.start, good, BAD)
        expected.insert(0, jax.tree.map(np.zeros_like, x.raw[0]))
    for g in x.raw[BAD].values():
        g[...] = np.nan
    if place is within:
        expected = x.expected(BAD, of_the_finite)
    *_, updates = x.walk(tx, *x.begun(tx, steps=BAD), BAD)
    return [Claim(updates, expected)]


def behind_the_points(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.ours)
    params, state, updates = x.walk(tx, *x.begun(tx), CUT)
    weights = without_none(x.s.called(gdmethods.nesterov_eval_params, state, params))
    behind = x.weights(oracle=functools.partial(nesterov_oracle, weights=True))
    return [Claim(updates, x.expected(CUT)), Claim(weights, behind)]


def on_a_device(tree: Any) -> int:
    arrays = map(jnp.asarray, jax.tree.leaves(tree))
    return sum(x.addressable_shards[0].data.nbytes for x in arrays)


def state_bytes(x: Crossing) -> list[Claim]:
    tx = x.build(x.rule.ours)
    params = x.params
    counted = gdmethods.state_bytes(x.s.transformation(tx), params)
    _, state = x.begun(tx)
    return [Claim(counted, on_a_device(state), None)]


def step_bytes(x: Crossing) -> list[Claim]:
    tx, params = x.build(x.rule.ours), x.params
    counted = gdmethods.step_bytes(x.s.transformation(tx), params)
    _, state = x.begun(tx)
    read, renewed = (
        [leaf for leaf in jax.tree.leaves(tree) if leaf.shape]
        for tree in (x.gradients[0], (params, state))
    )
    return [Claim(counted.least, on_a_device(read) + 2 * on_a_device(renewed), None)]


def swapped(call: Callable[[Any, Any, Any], Any], x: Crossing) -> list[Claim]:
    """Arguments in another order than that of the signature."""
    tx, params = x.build(x.rule.ours), x.params
    call(tx, params, x.s.init(tx, params))
    return []


# What blocks a road, and where.

INJECTED = ("injected", "injected schedules", "injected stateful schedules")
PARTITION = ("partition", "donated")
MULTI_STEPS = ("MultiSteps", "MultiSteps inside")
COMPLEX = ("complex", "real and complex", "strict promotion, narrow and complex")

FILE: dict[str, Refusal] = {"plain dicts": (TypeError, r"restore .*tx\.init\(params\)")}
FILE_OF_OPTAX = {"plain dicts": (TypeError, r"Restore .*optimizer\.init\(params\)")}
NO_ROUNDED_NUMBERS = dict.fromkeys(
    INJECTED, (ValueError, r"b2 must be .* pass it hyperparam_dtype=jnp\.float32")
)
ANOTHER_METHOD = {
    "own rule": (TypeError, "tx keeps OwnState.*from_optax takes the state of the same")
}
ANOTHER_PLACE = dict.fromkeys(
    (*PARTITION, "masked", *MULTI_STEPS),
    (
        TypeError,
        "from_optax takes the state of the same method .* in the same chain, partition or",
    ),
) | {
    "chain": (TypeError, "a chain around the method.*Put the method here into the same chain"),
    **dict.fromkeys(INJECTED[1:], (TypeError, "a schedule of .*with the same schedules around")),
}
NOT_OF_THE_PEER = {
    "own rule": (TypeError, "tx keeps .*OwnState.*Build tx with the peer's dialect")
}
OTHER_OPTIONS = (ValueError, r"betas=\(0\.9, 0\.999\) for 'a', and tx \(0\.9, 0\.99\)\. Build tx")
NOT_TOLD = {
    "injected stateful schedules": (ValueError, "ShrinkingState.*does not tell.*hyperparams_st"),
}
CODES = {"grad": (TypeError, "no derivative.*accumulator_dtype=jnp.bfloat16")}
NO_SIGN = (TypeError, "keeps the sign .* optax.contrib.split_real_and_imaginary")
TWO_REAL_ONES = dict.fromkeys(COMPLEX, (TypeError, "complex.*two real ones"))
ONLY_BFLOAT16 = {"float16": (TypeError, "Train it in bfloat16, or with gdmethods.with_float32_m")}
NO_MASTER = {"masked": (ValueError, r"no master of .*\['b'\].*leave it in float32 by mask")}
NO_STATE = dict.fromkeys(("restored", "plain dicts"), "it is given no state")
NO_DERIVATIVE = {"grad": "NumPy's arrays, codes and bytes have no derivative"}
ONE_COUNT = {"MultiSteps inside": "Keras counts once for all weights"}
NAN_FOR_EVER = dict.fromkeys(
    MULTI_STEPS, "optax.MultiSteps multiplies what it accumulated by 0, and keeps a NaN for ever"
)


def wrong_order(public: Callable[..., Any], call: Callable[[Any, Any, Any], Any]) -> Road:
    return Road(
        (public,),
        functools.partial(swapped, call),
        refused_elsewhere=(TypeError, rf"in the wrong order: write {public.__name__}\("),
        senseless=NO_STATE,
    )


def alone(factory: Factory) -> Any:
    """The straight road of a method without an oracle here: a leaf alone, in float64."""

    def oracle(
        seen: list[np.ndarray], numbers: Mapping[str, Any], w: np.ndarray
    ) -> list[np.ndarray]:
        with (
            jax.enable_x64(True),
            jax.numpy_dtype_promotion("standard"),
            jax.disable_jit(False),
            jax.debug_nans(False),
        ):
            moves, w, state = [], jnp.asarray(w), None
            for t, g in enumerate(seen, 1):  # a schedule comes by injection, number by number
                tx = factory(**{name: at(number, t) for name, number in numbers.items()})
                state = tx.init(w) if state is None else state
                update, state = tx.update(jnp.asarray(g), state, w)
                w += update
                moves.append(np.asarray(update))
        return moves

    return oracle


def of_a_factory(factory: Factory, **numbers: Any) -> Road:
    """A method without a row of its own, with the one number that it asks for."""
    rates = [name for name in RATES if name in inspect.signature(factory).parameters]
    numbers = dict.fromkeys(rates, RATE) | numbers
    fields = factory(**numbers).init(jnp.zeros(1))._asdict()
    refused = dict(FILE)
    if fields.get("sign") is not None:
        refused |= dict.fromkeys(COMPLEX, NO_SIGN)
    rule = Rule(factory, optax.identity, None, None, numbers, alone(factory))
    return Road(
        (factory,),
        a_method,
        rule,
        refused=refused,
        senseless={"own rule": "that rule has a row"},
        is_cheap=False,
    )


# Those that tests/table.py has, with its numbers; and those of the dialects.
FACTORIES: dict[Factory, Mapping[str, Any]] = (
    {gdmethods.scale_by_learning_rate: {}}
    | {
        row.factory: row.hyperparameters
        for row in reversed([row for row in METHODS.values() if row.hyperparameters])
        if not row.needs_value
    }
    | {
        factory: {}
        for module in (torch, keras, lecture)
        for factory in vars(module).values()
        if getattr(factory, "__module__", "").startswith(module.__name__)
        and "accumulator_dtype" in inspect.signature(factory).parameters
    }
)


ROADS: dict[str, Road] = {
    public_name(factory): of_a_factory(factory, **numbers)
    for factory, numbers in FACTORIES.items()
} | {
    "core": dataclasses.replace(of_a_factory(rules.core(own)), public=(rules.core,)),
    "decayed": dataclasses.replace(of_a_factory(rules.decayed(own)), public=(rules.decayed,)),
    "adam": Road((gdmethods.adam,), a_method, refused=FILE),
    "a rule of one's own": Road((rules.optimizer,), a_method, OWN, refused=FILE),
    "momentum": Road((gdmethods.momentum,), a_method, MOMENTUM, refused=FILE),
    "nesterov": Road(
        (gdmethods.nesterov, gdmethods.nesterov_eval_params),
        behind_the_points,
        NESTEROV,
        refused=FILE | {"own rule": (ValueError, "Pass the state of a .* gdmethods.nesterov")},
    ),
    "nesterov_eval_params, swapped": wrong_order(
        gdmethods.nesterov_eval_params,
        lambda tx, params, state: gdmethods.nesterov_eval_params(
            params, optax.chain(tx, gdmethods.nesterov(0.1)).init(params)
        ),
    ),
    "from_optax, adam": Road(
        (gdmethods.from_optax,),
        from_optax,
        refused=FILE_OF_OPTAX | ANOTHER_METHOD,
    ),
    "from_optax, momentum": Road(
        (gdmethods.from_optax,),
        functools.partial(from_optax, oracle=begun_by_optax),
        MOMENTUM,
        refused=FILE_OF_OPTAX | ANOTHER_METHOD,
    ),
    "from_optax, momentum, one rate": Road(
        (gdmethods.from_optax,),
        functools.partial(from_optax, oracle=begun_by_optax, one_rate=True),
        MOMENTUM,
        refused=FILE_OF_OPTAX
        | ANOTHER_METHOD
        | dict.fromkeys(
            (*PARTITION, "MultiSteps inside"),
            (ValueError, "One learning_rate came for two velocities.*Pass a mapping"),
        ),
    ),
    "from_optax, nesterov": Road(
        (gdmethods.from_optax,),
        functools.partial(from_optax, oracle=functools.partial(begun_by_optax, points=True)),
        NESTEROV,
        refused=FILE_OF_OPTAX | ANOTHER_METHOD,
    ),
    "from_optax, into a method alone": Road(
        (gdmethods.from_optax,),
        from_optax_into_a_method_alone,
        refused=FILE_OF_OPTAX | ANOTHER_METHOD | ANOTHER_PLACE,
    ),
    "from_optax, swapped": wrong_order(
        gdmethods.from_optax, lambda tx, params, state: gdmethods.from_optax(params, tx, state)
    ),
    "from_state_dict": Road(
        (torch.from_state_dict,),
        from_state_dict,
        refused=FILE | NOT_OF_THE_PEER | NOT_TOLD | TWO_REAL_ONES,
    ),
    "from_state_dict, without names": Road(
        (torch.from_state_dict,),
        functools.partial(from_state_dict, names=False),
        refused=FILE
        | NOT_OF_THE_PEER
        | NOT_TOLD
        | TWO_REAL_ONES
        | dict.fromkeys(PARTITION, (ValueError, "in two param_groups.*Put the names into it")),
    ),
    "from_state_dict, of other options": Road(
        (torch.from_state_dict,),
        functools.partial(from_state_dict, betas=(0.9, 0.99)),
        refused=NOT_OF_THE_PEER | NOT_TOLD | TWO_REAL_ONES,
        refused_elsewhere=OTHER_OPTIONS,
    ),
    "to_state_dict": Road(
        (torch.to_state_dict,),
        to_state_dict,
        refused=FILE | NOT_OF_THE_PEER,
        senseless=NO_DERIVATIVE,
    ),
    "from_variables": Road(
        (keras.from_variables,),
        from_variables,
        KERAS_ADAM,
        refused=FILE
        | NOT_OF_THE_PEER
        | NOT_TOLD
        | TWO_REAL_ONES
        | dict.fromkeys(PARTITION, (UserWarning, "learning_rate=0.1.* for 'b', and tx 0.01"))
        | {"masked": (ValueError, "of 'b', and tx keeps no slot for it. Build tx")},
        senseless=ONE_COUNT,
    ),
    "to_variables": Road(
        (keras.to_variables,),
        to_variables,
        KERAS_ADAM,
        refused=FILE | NOT_OF_THE_PEER,
        senseless=NO_DERIVATIVE | ONE_COUNT,
    ),
    "convert_state, to bfloat16 and back": Road(
        (gdmethods.convert_state,),
        to_bfloat16_and_back,
        refused=FILE,
    ),
    "convert_state, to wider numbers": Road(
        (gdmethods.convert_state,),
        to_wider_numbers,
        dtype="float32",
        wide=True,
        refused=FILE,
    ),
    "convert_state, of a master": Road(
        (gdmethods.convert_state, gdmethods.with_float32_master),
        into_the_other_form,
        dtype="bfloat16",
        refused=FILE,
    ),
    "convert_state, swapped": wrong_order(
        gdmethods.convert_state,
        lambda tx, params, state: gdmethods.convert_state(tx, state, params),
    ),
    "convert_state, from 8 bits": Road(
        (gdmethods.convert_state,),
        functools.partial(from_eight_bits, road=into_float32),
        dtype="float32",
        refused=FILE | CODES,
    ),
    "read_state": Road(
        (gdmethods.read_state,),
        functools.partial(from_eight_bits, road=read),
        dtype="float32",
        refused=FILE | CODES,
    ),
    "state_ranges": Road(
        (gdmethods.state_ranges,),
        state_ranges,
        dtype="float32",
        refused=FILE,
        senseless=NO_DERIVATIVE,
    ),
    "init_from_float32": Road(
        (gdmethods.init_from_float32, gdmethods.master_params),
        starting_from_float32,
        dtype="float32",
        refused=FILE | NO_ROUNDED_NUMBERS | NO_MASTER,
    ),
    "init_from_float32, whole": Road(
        (gdmethods.init_from_float32, gdmethods.master_params),
        functools.partial(starting_from_float32, remainder=False),
        dtype="float32",
        refused=FILE | NO_ROUNDED_NUMBERS | NO_MASTER,
    ),
    "init_from_float32, swapped": wrong_order(
        gdmethods.init_from_float32,
        lambda tx, params, state: gdmethods.init_from_float32(params, tx),
    ),
    "with_float32_master around": Road(
        (gdmethods.with_float32_master, gdmethods.master_params),
        functools.partial(with_master, place=around),
        dtype="bfloat16",
        refused=FILE,
    ),
    "with_float32_master around, whole": Road(
        (gdmethods.with_float32_master, gdmethods.master_params),
        functools.partial(with_master, place=around, remainder=False),
        dtype="bfloat16",
        refused=FILE,
    ),
    "with_float32_master within": Road(
        (gdmethods.with_float32_master, gdmethods.master_params),
        functools.partial(with_master, place=within),
        dtype="bfloat16",
        refused=FILE | NO_ROUNDED_NUMBERS,
    ),
    "master_params, swapped": wrong_order(
        gdmethods.master_params,
        lambda tx, params, state: gdmethods.master_params(
            params, gdmethods.with_float32_master(tx).init(params)
        ),
    ),
    "with_stochastic_rounding around": Road(
        (gdmethods.with_stochastic_rounding,),
        functools.partial(with_rounding, place=around),
        dtype="bfloat16",
        refused=FILE | ONLY_BFLOAT16,
    ),
    "with_stochastic_rounding within": Road(
        (gdmethods.with_stochastic_rounding,),
        functools.partial(with_rounding, place=within),
        dtype="bfloat16",
        refused=FILE | ONLY_BFLOAT16 | NO_ROUNDED_NUMBERS,
    ),
    "skip_nonfinite_steps around": Road(
        (gdmethods.skip_nonfinite_steps,), functools.partial(skipping, place=around), refused=FILE
    ),
    "skip_nonfinite_steps within": Road(
        (gdmethods.skip_nonfinite_steps,),
        functools.partial(skipping, place=within),
        refused=FILE,
        senseless=NAN_FOR_EVER,
    ),
    "state_bytes": Road((gdmethods.state_bytes,), state_bytes, senseless=NO_STATE | NO_DERIVATIVE),
    "state_bytes, swapped": wrong_order(
        gdmethods.state_bytes, lambda tx, params, state: gdmethods.state_bytes(params, tx)
    ),
    "step_bytes": Road(
        (gdmethods.step_bytes,), step_bytes, senseless=NO_STATE | NO_DERIVATIVE, is_cheap=False
    ),
}

WORDS = (
    "at is_zero one_minus_power ordered positive representable root scalar sign squarable square"
)
CHECKS = "assert_contract check_contract check_law every_law identify identify_updates"
NO_ROAD = {
    "gdmethods.sutskever_momentum_schedule": "makes a function of the count",
    "gdmethods.study.study": "compares methods",
    "gdmethods.rules.rule_of": "gives back the function that a user wrote",
    **{f"gdmethods.rules.{word}": "a word within a rule" for word in WORDS.split()},
    **{f"gdmethods.testing.{check}": "judges a transformation" for check in CHECKS.split()},
}
"""Public functions that make, read, convert, carry, count and wrap no state, and why."""
