"""Situations: how a transformation is put together, what it trains, and how it is called.

A situation is a column of the table. It builds a transformation from a factory, makes parameters
and gradients, and walks. It says in NumPy what each weight then sees and does:

    seen      the gradients that the method is given
    numbers   its hyperparameters, at each of its steps
    moved     the updates that come out, from the method's displacements

So the straight road needs no JAX: an oracle of `tests/oracles`, weight by weight. It is the same
for an ensemble, a mesh, or a compiled loop. Gradients and weights are multiples of 1/8, which
every dtype has.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

STEPS = 6
CUT = 3  # steps before the crossing: in the middle of a cycle of MultiSteps
RATE, SLOW = 0.1, 0.01
RATES = ("learning_rate", "lr", "eta")
CLIP = 1.0

Arrays = dict[str, np.ndarray]
Factory = Callable[..., optax.GradientTransformation]
Numbers = Mapping[str, Any]


def falling(count: Any) -> Any:
    return RATE / (1.0 + 0.5 * count)


def rising(count: Any) -> Any:
    return 0.9 - 0.4 / (1.0 + count)


SCHEDULES = dict.fromkeys(RATES, falling) | {"momentum": rising}


class ShrinkingState(NamedTuple):
    rate: Any
    steps: Any


class Shrinking:
    """A stateful schedule, whose rate shrinks with every update."""

    def init(self) -> ShrinkingState:
        return ShrinkingState(jnp.asarray(RATE), jnp.int32(0))

    def update(self, state: ShrinkingState, **extra_args: Any) -> ShrinkingState:
        return ShrinkingState(0.75 * state.rate, state.steps + 1)

    def __call__(self, state: ShrinkingState, **extra_args: Any) -> Any:
        return state.rate


def shrinking(count: int) -> float:
    return RATE * 0.75**count


class Situation:
    """A method alone, which trains two leaves and is called step by step.

    shape: of each leaf.
    dtypes: of the leaves; a road's own where there is none.
    nothing: what the parameters hold beside their arrays.
    trained: the leaves that a method moves.
    own_rule: whether the method is one that a user wrote.
    groups: the leaves, as PyTorch's param_groups have them.
    members: the axes of an ensemble, which lead.
    tolerance: of numbers that are not claimed to the bit.
    derivative: whether updates are derivatives.
    """

    shape: tuple[int, ...] = (3,)
    dtypes: Mapping[str, str] = {}
    nothing: Mapping[str, Any] = {}
    trained: Sequence[str] = ("a", "b")
    own_rule = False
    groups: Sequence[str] = ("ab",)
    members = 0
    tolerance = 0.0
    derivative = False

    def context(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    # How it is put together.

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return factory(**numbers)

    def numbers(self, numbers: Numbers, leaf: str) -> Numbers:
        return numbers

    def seen(self, leaf: str, gradients: list[np.ndarray]) -> list[np.ndarray]:
        return gradients

    def moved(
        self, leaf: str, displacements: list[np.ndarray], gradients: list[np.ndarray]
    ) -> list[np.ndarray]:
        return displacements if leaf in self.trained else gradients

    def last_rate(self, numbers: Numbers) -> Any:
        """As the user tells it, who knows how the last update was made."""
        return numbers["learning_rate"]

    # What it trains.

    def dtype(self, leaf: str, default: str) -> str:
        return self.dtypes.get(leaf, default)

    def weights(self, default: str) -> Arrays:
        """The second number of each leaf is 0."""
        weights = self._eighths(0, default)
        for x in weights.values():
            x.reshape(-1)[1:2] = 0
        return weights

    def gradients(self, default: str) -> list[Arrays]:
        """Where a weight of 0 stands in the first leaf, they are 0."""
        gradients = [self._eighths(1 + t, default) for t in range(STEPS)]
        for g in gradients:
            g["a"].reshape(-1)[1:2] = 0
        return gradients

    def _eighths(self, seed: int, default: str) -> Arrays:
        rng = np.random.default_rng(seed)

        def draw() -> np.ndarray:
            size = np.asarray(rng.integers(1, 16, self.shape)) / 8
            return np.asarray(size * rng.choice([-1, 1], self.shape))

        return {
            leaf: draw() + 1j * draw()
            if self.dtype(leaf, default).startswith("complex")
            else draw()
            for leaf in "ab"
        }

    def tree(self, arrays: Arrays, default: str) -> Any:
        """As parameters or gradients."""
        leaves = {k: jnp.asarray(x, self.dtype(k, default)) for k, x in arrays.items()}
        return leaves | self.nothing

    # How it is called.

    def init(self, tx: Any, params: Any) -> Any:
        return tx.init(params)

    def transformation(self, tx: Any) -> Any:
        """As what counts its bytes is given it."""
        return tx

    def called(self, function: Callable[..., Any], *trees: Any) -> Any:
        """What a road's function makes of trees of JAX's arrays."""
        return function(*trees)

    def loaded(self, load: Callable[[Any], Any], arrays: Any) -> Any:
        """What it makes of another library's arrays."""
        return load(arrays)

    def saved(self, save: Callable[..., Any], *trees: Any) -> Any:
        """The other library's arrays."""
        return save(*trees)

    def restored(self, state: Any, new: Any) -> Any:
        """The state, or what came back from a file; `new` is one that init made."""
        return state

    def past(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        """The parameters and the state after some steps before the crossing."""
        return self.walk(tx, params, state, gradients)[:2]

    def walk(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        """The parameters and the state at the end, and all updates."""
        updates = []
        for g in gradients:
            params, state, update = self.step(tx, params, state, g)
            updates.append(update)
        return params, state, updates

    def step(self, tx: Any, params: Any, state: Any, gradients: Any) -> Any:
        return _step(tx, params, state, gradients)

    # The straight road.

    def expected(
        self, oracle: Any, numbers: Numbers, start: Arrays, gradients: list[Arrays], since: int
    ) -> Any:
        """The updates from a step on, one leaf after the other, in NumPy."""
        by_leaf = {}
        for leaf in gradients[0]:
            raw = [np.asarray(g[leaf]) for g in gradients]
            seen = self.seen(leaf, raw)
            displacements = oracle(seen, self.numbers(numbers, leaf), start[leaf])
            by_leaf[leaf] = self.moved(leaf, displacements, raw)
        return [
            {leaf: moves[t] for leaf, moves in by_leaf.items()}
            for t in range(since, len(gradients))
        ]


def _added(params: Any, updates: Any) -> Any:
    """As `optax.apply_updates`, which relies on promotion."""
    return jax.tree.map(lambda w, u: (w.astype(u.dtype) + u).astype(w.dtype), params, updates)


# How it is put together.


class Injected(Situation):
    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return optax.inject_hyperparams(factory)(**numbers)

    def last_rate(self, numbers: Numbers) -> Any:
        return None  # which the state tells


class InjectedSchedules(Injected):
    schedules: Mapping[str, Any] = SCHEDULES
    straight: Mapping[str, Any] = SCHEDULES

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return super().build(factory, {k: self.schedules.get(k, x) for k, x in numbers.items()})

    def numbers(self, numbers: Numbers, leaf: str) -> Numbers:
        return {k: self.straight.get(k, x) for k, x in numbers.items()}


class InjectedStatefulSchedules(InjectedSchedules):
    schedules: Mapping[str, Any] = dict.fromkeys(RATES, Shrinking())
    straight: Mapping[str, Any] = dict.fromkeys(RATES, shrinking)


class Partition(Situation):
    """Two of a kind, with a rate each."""

    groups = ("b", "a")

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        each = {leaf: factory(**self.numbers(numbers, leaf)) for leaf in "ab"}
        return optax.partition(each, {"a": "a", "b": "b"})

    def numbers(self, numbers: Numbers, leaf: str) -> Numbers:
        rate = {"a": RATE, "b": SLOW}[leaf]
        return {name: rate if name in RATES else x for name, x in numbers.items()}

    def last_rate(self, numbers: Numbers) -> Any:
        return {"a": RATE, "b": SLOW}


class Masked(Situation):
    """One leaf is left out, whose updates are its gradients."""

    trained = ("a",)

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return optax.masked(factory(**numbers), {"a": True, "b": False})


class Chain(Situation):
    """Behind a clipping of each gradient."""

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return optax.chain(optax.clip(CLIP), factory(**numbers))

    def seen(self, leaf: str, gradients: list[np.ndarray]) -> list[np.ndarray]:
        return [np.clip(g, -CLIP, CLIP) for g in gradients]


class MultiSteps(Situation):
    """One step for the mean of two gradients; compiled, which its branches are in any case."""

    accumulated: Sequence[str] = ("a", "b")

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        return optax.MultiSteps(factory(**numbers), 2).gradient_transformation()

    def seen(self, leaf: str, gradients: list[np.ndarray]) -> list[np.ndarray]:
        if leaf not in self.accumulated:
            return gradients
        return [(g + h) / 2 for g, h in zip(gradients[::2], gradients[1::2], strict=False)]

    def moved(
        self, leaf: str, displacements: list[np.ndarray], gradients: list[np.ndarray]
    ) -> list[np.ndarray]:
        if leaf not in self.accumulated:
            return displacements
        still = np.zeros_like(gradients[0])
        return [displacements[t // 2] if t % 2 else still for t in range(len(gradients))]

    def step(self, tx: Any, params: Any, state: Any, gradients: Any) -> Any:
        return _compiled_step(tx, params, state, gradients)


class MultiStepsInside(MultiSteps):
    """Within a partition, beside a method that steps at once."""

    accumulated = ("a",)

    def build(self, factory: Factory, numbers: Numbers) -> Any:
        each = {"a": super().build(factory, numbers), "b": factory(**numbers)}
        return optax.partition(each, {"a": "a", "b": "b"})

    def last_rate(self, numbers: Numbers) -> Any:
        return dict.fromkeys("ab", numbers["learning_rate"])


class OwnRule(Situation):
    own_rule = True


# What it trains.


class Dtypes(Situation):
    def __init__(self, a: str, b: str) -> None:
        self.dtypes = {"a": a, "b": b}


class Shape(Situation):
    def __init__(self, *shape: int) -> None:
        self.shape = shape


class NoneLeaf(Situation):
    nothing: Mapping[str, Any] = {"c": None}


class InfiniteWeight(Situation):
    """Whose gradient is 0, so that it stays."""

    def weights(self, default: str) -> Arrays:
        weights = super().weights(default)
        weights["a"][0] = np.inf
        return weights

    def gradients(self, default: str) -> list[Arrays]:
        gradients = super().gradients(default)
        for g in gradients:
            g["a"][0] = 0
        return gradients


# How it is called.


class Jit(Situation):
    """Each step and each call is compiled."""

    def called(self, function: Callable[..., Any], *trees: Any) -> Any:
        return jax.jit(function)(*trees)

    def init(self, tx: Any, params: Any) -> Any:
        return jax.jit(tx.init)(params)

    def step(self, tx: Any, params: Any, state: Any, gradients: Any) -> Any:
        return _compiled_step(tx, params, state, gradients)


def _step(tx: Any, params: Any, state: Any, gradients: Any) -> Any:
    updates, state = tx.update(gradients, state, params)
    return _added(params, updates), state, updates


_compiled_step = jax.jit(_step, static_argnums=0)
_moved = jax.jit(lambda state: jax.tree.map(jnp.copy, state), donate_argnums=0)
_donated_step = jax.jit(_step, static_argnums=0, donate_argnums=(1, 2))


class Scan(Situation):
    def walk(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        def body(carry: Any, g: Any) -> Any:
            *carry, update = self.step(tx, *carry, g)
            return tuple(carry), update

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)
        (params, state), updates = jax.lax.scan(body, (params, state), stacked)
        columns, structure = jax.tree.flatten(updates)
        rows = zip(*columns, strict=True)
        return params, state, [jax.tree.unflatten(structure, row) for row in rows]


class Vmap(Situation):
    """An ensemble of two, which lie along the first axis."""

    shape = (2, 3)
    members = 1

    def transformation(self, tx: Any) -> Any:
        return optax.GradientTransformation(jax.vmap(tx.init), jax.vmap(tx.update))

    def init(self, tx: Any, params: Any) -> Any:
        return jax.vmap(tx.init)(params)

    def called(self, function: Callable[..., Any], *trees: Any) -> Any:
        return jax.vmap(function)(*trees)

    def loaded(self, load: Callable[[Any], Any], arrays: Any) -> Any:
        members = [load(member) for member in _members(arrays)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)

    def saved(self, save: Callable[..., Any], *trees: Any) -> Any:
        members = [save(*member) for member in _members(trees)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *members)

    def walk(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        return jax.vmap(functools.partial(super().walk, tx))(params, state, gradients)


def _members(tree: Any) -> list[Any]:
    def member(i: int) -> Any:
        return jax.tree.map(lambda x: x[i] if np.ndim(x) else x, tree)

    return [member(0), member(1)]


class Donated(Partition):
    """Each step is given the buffers of what it renews, among them those of two counts."""

    def walk(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        return super().walk(tx, jax.tree.map(jnp.copy, params), _moved(state), gradients)

    def step(self, tx: Any, params: Any, state: Any, gradients: Any) -> Any:
        return _donated_step(tx, params, state, gradients)


class Sharded(Situation):
    """Over all devices, of which there are eight."""

    shape = (8,)

    @property
    def sharding(self) -> NamedSharding:
        mesh = Mesh(jax.devices(), ("data",), axis_types=(AxisType.Auto,))
        return NamedSharding(mesh, PartitionSpec("data"))

    def tree(self, arrays: Arrays, default: str) -> Any:
        return jax.device_put(super().tree(arrays, default), self.sharding)

    def step(self, tx: Any, params: Any, state: Any, gradients: Any) -> Any:
        params, state, updates = _compiled_step(tx, params, state, gradients)
        for leaf in jax.tree.leaves((params, state)):
            assert leaf.shape == () or leaf.sharding.is_equivalent_to(self.sharding, leaf.ndim)
        return params, state, updates


class DisableJit(Situation):
    def context(self) -> contextlib.AbstractContextManager[Any]:
        return jax.disable_jit()


class DebugNans(Situation):
    """Operation by operation, so that it sees them all."""

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        with jax.disable_jit(), jax.debug_nans(True):
            yield


class StrictPromotion(Situation):
    def __init__(self, **dtypes: str) -> None:
        self.dtypes = dtypes

    def context(self) -> contextlib.AbstractContextManager[Any]:
        return jax.numpy_dtype_promotion("strict")

    def past(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        with jax.numpy_dtype_promotion("standard"):  # which Optax relies on
            return super().past(tx, params, state, gradients)


class Grad(Situation):
    """The derivatives of all updates with respect to a factor of the gradients of one walk."""

    tolerance = 1e-7
    derivative = True

    def past(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        return super().walk(tx, params, state, gradients)[:2]

    def walk(self, tx: Any, params: Any, state: Any, gradients: list[Any]) -> Any:
        inner = super().walk
        # Of what is no number nothing can be differentiated, and what is skipped is not.
        finite = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), gradients)
        rest = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), 0, g), gradients)

        def updates(factor: Any) -> Any:
            scaled = jax.tree.map(lambda g, r: factor.astype(g.dtype) * g + r, finite, rest)
            *end, updates = inner(tx, params, state, scaled)
            return updates, end

        one = jnp.ones((), jnp.result_type(float))
        derivatives, end = jax.jacrev(updates, has_aux=True)(one)
        return *end, derivatives

    def expected(
        self, oracle: Any, numbers: Numbers, start: Arrays, gradients: list[Arrays], since: int
    ) -> Any:
        def updates(factor: float) -> Any:
            scaled = [
                {k: g * factor for k, g in each.items()} if t >= since else each
                for t, each in enumerate(gradients)
            ]
            return super(Grad, self).expected(oracle, numbers, start, scaled, since)

        h = 1e-6
        return jax.tree.map(lambda x, y: (x - y) / (2 * h), updates(1 + h), updates(1 - h))


# A state from a file.


class Restored(Situation):
    """Read into a new one, as Flax writes and reads it."""

    def restored(self, state: Any, new: Any) -> Any:
        written = serialization.msgpack_serialize(serialization.to_state_dict(state))
        return serialization.from_state_dict(new, serialization.msgpack_restore(written))


class PlainDicts(Situation):
    def restored(self, state: Any, new: Any) -> Any:
        written = serialization.msgpack_serialize(serialization.to_state_dict(state))
        return serialization.msgpack_restore(written)


SITUATIONS: dict[str, Situation] = {
    "alone": Situation(),
    "injected": Injected(),
    "injected schedules": InjectedSchedules(),
    "injected stateful schedules": InjectedStatefulSchedules(),
    "partition": Partition(),
    "masked": Masked(),
    "chain": Chain(),
    "MultiSteps": MultiSteps(),
    "MultiSteps inside": MultiStepsInside(),
    "own rule": OwnRule(),
    "float64": Dtypes("float64", "float64"),
    "float32": Dtypes("float32", "float32"),
    "bfloat16": Dtypes("bfloat16", "bfloat16"),
    "float16": Dtypes("float16", "float16"),
    "complex": Dtypes("complex64", "complex64"),
    "mixed dtypes": Dtypes("float32", "bfloat16"),
    "real and complex": Dtypes("float32", "complex64"),
    "scalars": Shape(),
    "empty leaves": Shape(0, 3),
    "None leaf": NoneLeaf(),
    "infinite weight": InfiniteWeight(),
    "jit": Jit(),
    "scan": Scan(),
    "vmap": Vmap(),
    "donated": Donated(),
    "sharded": Sharded(),
    "disable_jit": DisableJit(),
    "debug_nans": DebugNans(),
    "strict promotion": StrictPromotion(),
    "strict promotion, narrow and complex": StrictPromotion(a="bfloat16", b="complex64"),
    "grad": Grad(),
    "restored": Restored(),
    "plain dicts": PlainDicts(),
}
