"""An honest transformation, and faults planted into it: each breaks the law that stands beside it.

No two faults of a law are of one kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import chance
import jax
import jax.numpy as jnp
import numpy as np
import optax

import gdmethods


@dataclass(frozen=True)
class Planted:
    """A fault.

    law: that has to see it.
    make: builds the transformation.
    case: what the message shows of it.
    also: the other laws that it breaks; None if it may break any.
    options: of check_contract.
    """

    law: str
    make: Callable[[], Any]
    case: str
    also: tuple[str, ...] | None = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def wide(w: Any) -> Any:
    return jnp.promote_types(w.dtype, jnp.float32)


def zeros(params: Any) -> Any:
    return jax.tree.map(lambda w: jnp.zeros_like(w, dtype=wide(w)), params)


def rule(
    displacement: Callable[..., Any],
    init: Callable[[Any], Any] = zeros,
    decay: float = 0.5,
    seen: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """The displacement of a weight from its velocity and its gradient, with a velocity that lasts.

    `init` makes the velocities. With `seen` the displacement depends on the weight too.
    """

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        velocity = jax.tree.map(lambda v, g: (decay * v + g).astype(v.dtype), state, updates)

        def move(v: Any, g: Any, w: Any) -> Any:
            return displacement(v, g.astype(v.dtype), *[w] * seen).astype(w.dtype)

        return jax.tree.map(move, velocity, updates, params), velocity

    return optax.GradientTransformationExtraArgs(init, update)


def honest() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * v)


class Counted(NamedTuple):
    count: Any
    velocity: Any


def counting(
    start: Callable[[], Any],
    following: Callable[[Any], Any],
    rate: Callable[[Any], Any] = lambda count: 1.0,
) -> optax.GradientTransformationExtraArgs:
    """The honest one, with a count; its updates are multiplied by `rate` of that."""
    inner = honest()

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, velocity = inner.update(updates, state.velocity, params)
        count = following(state.count)
        updates = jax.tree.map(lambda u: (rate(count) * u).astype(u.dtype), updates)
        return updates, Counted(count, velocity)

    return optax.GradientTransformationExtraArgs(lambda p: Counted(start(), inner.init(p)), update)


def corrected(count: Any) -> Any:
    """As Adam's correction of a decay of 0.9."""
    return 1 / (1 - jnp.float32(0.9) ** count)


# How it is called.


def remembers_outside() -> optax.GradientTransformationExtraArgs:
    calls: list[None] = []

    def displacement(v: Any, g: Any) -> Any:
        calls.append(None)
        return -0.1 * len(calls) * v

    return rule(displacement)


def draws_outside() -> optax.GradientTransformationExtraArgs:
    rng = np.random.default_rng()
    return rule(lambda v, g: -0.1 * rng.uniform(0.5, 1.5) * v)


def anchors_to_its_first_weights() -> optax.GradientTransformationExtraArgs:
    anchors: list[Any] = []

    def init(params: Any) -> Any:
        anchors.append(params)
        return jax.tree.map(lambda w: jnp.asarray(w, wide(w)) * 0.5, anchors[0])

    return rule(lambda v, g: -0.1 * v, init)


def counts_its_inits() -> optax.GradientTransformationExtraArgs:
    inits: list[None] = []

    def init(params: Any) -> Any:
        inits.append(None)
        return zeros(params)

    return rule(lambda v, g: -0.1 / len(inits) * v, init)


def knows_solvers_alone() -> optax.GradientTransformationExtraArgs:
    inner = honest()

    def update(updates: Any, state: Any, params: Any, *, value: Any, grad: Any, value_fn: Any):
        return inner.update(updates, state, params)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def takes_the_first_word() -> optax.GradientTransformationExtraArgs:
    inner = honest()

    def update(updates: Any, state: Any, params: Any, *, batch_size: Any = 1, **others: Any):
        updates, state = inner.update(updates, state, params)
        return jax.tree.map(lambda u: u / batch_size, updates), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def starts_from_values() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -0.1 * g,
        init=lambda params: jax.tree.map(lambda w: (w * 0.0).astype(wide(w)), params),
    )


def starts_from_numpy() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -0.1 * v,
        init=lambda params: jax.tree.map(
            lambda w: jnp.zeros(np.asarray(w).shape, wide(w), device=w.sharding), params
        ),
    )


# How JAX runs it.


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


def counts_in_floats() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.int32(0), lambda count: count + jnp.float32(1))


def starts_weakly() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.asarray(0.0), lambda count: count + jnp.ones(()))


def grows() -> optax.GradientTransformationExtraArgs:
    """Its state is a list of all gradients."""

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        return jax.tree.map(lambda g, w: (-0.1 * g).astype(w.dtype), updates, params), [
            *state,
            updates,
        ]

    return optax.GradientTransformationExtraArgs(lambda params: [], update)


def keeps_the_parameters() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * v, init=lambda params: params)


def shrinks() -> optax.GradientTransformationExtraArgs:
    """Its state ends as one number a leaf."""
    inner = honest()

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, velocity = inner.update(updates, state, params)
        return updates, jax.tree.map(jnp.sum, velocity)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def forgets_the_sharding() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -0.1 * v,
        init=lambda params: jax.tree.map(lambda w: jnp.zeros(w.shape, wide(w)), params),
    )


# What happens between two steps.


def is_built_by_chance() -> optax.GradientTransformationExtraArgs:
    rate = np.random.default_rng().uniform(0.1, 0.2)
    return rule(lambda v, g: -rate * v)


def keeps_a_number() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: 0, lambda count: count + 1)


# How the weights are put together.


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


def normalizes() -> optax.GradientTransformationExtraArgs:
    return optax.chain(optax.normalize_by_update_norm(), honest())


def centers_matrices() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: (
            -0.1 * (v - v.mean(0, keepdims=True)) if v.ndim == 2 and len(v) > 4 else -0.1 * v
        )
    )


def turns_convolutions() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * (v[::-1] if v.ndim == 4 else v))


def takes_signs_of_large_leaves() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * (jnp.sign(v) if v.size > 1000 else v))


# Dtypes.


def follows_the_gradients() -> optax.GradientTransformationExtraArgs:
    return optax.stateless_with_tree_map(lambda g, w: -0.125 * g)


def always_float32(promise: str = "float32") -> optax.GradientTransformationExtraArgs:
    return optax.stateless_with_tree_map(lambda g, w: (-0.125 * g).astype(promise))


def drifts() -> optax.GradientTransformationExtraArgs:
    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        velocity = jax.tree.map(lambda v, g: 0.5 * v + g, state, updates)
        return jax.tree.map(lambda v, w: (-0.125 * v).astype(w.dtype), velocity, params), velocity

    return optax.GradientTransformationExtraArgs(
        lambda params: jax.tree.map(jnp.zeros_like, params), update
    )


def is_promoted_by_its_rate() -> optax.GradientTransformationExtraArgs:
    """Moments in the weights' dtype, times an injected rate in float32."""

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        rate, velocity = state
        velocity = jax.tree.map(lambda v, g: 0.5 * v + rate * g, velocity, updates)
        moves = jax.tree.map(lambda v, w: -v.astype(w.dtype), velocity, params)
        return moves, (rate, velocity)

    return optax.GradientTransformationExtraArgs(
        lambda params: (jnp.float32(0.1), jax.tree.map(jnp.zeros_like, params)), update
    )


def accumulates_in_the_weights_dtype() -> optax.GradientTransformationExtraArgs:
    return rule(
        lambda v, g: -1e-3 * v,
        init=lambda params: jax.tree.map(jnp.zeros_like, params),
        decay=0.999,
    )


def asks_for_the_dtype() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g, w: (-0.1 if w.dtype == jnp.float32 else -0.105) * v, seen=True)


# Gradients.


def lags() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * (v - g))


def decays() -> optax.GradientTransformationExtraArgs:
    return optax.chain(optax.add_decayed_weights(0.5), honest())


def hates_a_jump() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: jnp.where((v < g) & (g > 30), 0.0, -0.1 * v))


# Time.


def corrects_by_a_power_that_vanishes() -> optax.GradientTransformationExtraArgs:
    """0.9ᵗ is 0 in float32 after a thousand steps."""
    return counting(
        lambda: jnp.int32(0), optax.safe_increment, lambda t: 0.9**t / jnp.float32(0.9) ** t
    )


def stops_after_500_steps() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.int32(0), optax.safe_increment, lambda t: jnp.float32(t <= 500))


def counts_in_bytes() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.uint8(0), lambda count: count + jnp.uint8(1))


def counts_in_bfloat16() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.bfloat16(0), lambda count: count + jnp.bfloat16(1))


def wraps_in_the_end() -> optax.GradientTransformationExtraArgs:
    return counting(lambda: jnp.int32(0), lambda count: count + 1, corrected)


def turns_in_the_end() -> optax.GradientTransformationExtraArgs:
    return counting(
        lambda: jnp.int16(0), lambda count: count + jnp.int16(1), lambda t: jnp.sign(t + 0.5)
    )


def never_counts() -> optax.GradientTransformationExtraArgs:
    """As a wrapper that gives its schedule the count that it was made with."""
    return counting(lambda: jnp.int32(0), lambda count: count, lambda t: 1 / (1 + 0.01 * t))


# The loss.


def ascends_one_weight() -> optax.GradientTransformationExtraArgs:
    return rule(lambda v, g: -0.1 * v * jnp.where(jnp.arange(v.size).reshape(v.shape) == 1, -1, 1))


def never_rests() -> optax.GradientTransformationExtraArgs:
    """A velocity that keeps all of itself swings for ever, and gains from each step."""
    return rule(lambda v, g: -0.03 * (v + 0.5 * (v - g)), decay=1.005)


# Storage, beside the same rule in float32.


class Moments(NamedTuple):
    mean: Any
    square: Any


def adam_with(stored: Callable[[Any], Any]) -> optax.GradientTransformationExtraArgs:
    """Adam without correction, whose running squares are what `stored` makes of them."""

    def update(updates: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        gradients = jax.tree.map(lambda g, m: g.astype(m.dtype), updates, state.mean)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.mean, gradients)
        square = jax.tree.map(lambda s, g: stored(0.99 * s + 0.01 * g**2), state.square, gradients)
        moves = jax.tree.map(
            lambda m, s, w: (-0.1 * m / (jnp.sqrt(s) + 1e-8)).astype(w.dtype), mean, square, params
        )
        return moves, Moments(mean, square)

    return optax.GradientTransformationExtraArgs(lambda p: Moments(zeros(p), zeros(p)), update)


def in_eight_bits(least: int) -> Callable[[Any], Any]:
    """In units of 1/255 of the largest of a leaf, at least `least` of them."""

    def stored(squares: Any) -> Any:
        unit = jnp.max(squares) / 255
        return unit * jnp.clip(jnp.round(squares / jnp.where(unit == 0, 1, unit)), least, 255)

    return stored


def in_float16(squares: Any) -> Any:
    return squares.astype(jnp.float16).astype(squares.dtype)


def loses_small_squares() -> optax.GradientTransformationExtraArgs:
    return adam_with(in_eight_bits(0))


def underflows() -> optax.GradientTransformationExtraArgs:
    return adam_with(in_float16)


def adam_in_float32() -> optax.GradientTransformationExtraArgs:
    return adam_with(lambda squares: squares)


CHANCE = {"claims": ["rounds_stochastically"], "reference": chance.wide_momentum}
WIDE = {"claims": ["wide_updates"]}
DESCENDS = {"claims": ["descends"]}
BOUNDED = {"claims": ["bounded_steps"], "reference": adam_in_float32}
SCALES = {"claims": ["scale_invariance"]}


def adam_by_chance() -> optax.GradientTransformationExtraArgs:
    return chance.weights_by_chance(gdmethods.adam(0.01), counted=False)


PLANTED = [
    Planted("purity", remembers_outside, "after steps thrown away", also=None),
    Planted("purity", draws_outside, "after steps thrown away", also=None),
    Planted(
        "fresh_init",
        anchors_to_its_first_weights,
        "if it was given other weights before",
        also=None,
    ),
    Planted("fresh_init", counts_its_inits, "if init was given other weights before", also=None),
    Planted("abstract_init", starts_from_values, "init was given jax.ShapeDtypeStruct"),
    Planted("abstract_init", starts_from_numpy, "TracerArrayConversionError", also=None),
    Planted("extra_args", knows_solvers_alone, "unexpected keyword argument 'batch_size'"),
    Planted("extra_args", takes_the_first_word, "batch_size=7 makes"),
    Planted(
        "jit_equals_eager", knows_whether_it_is_traced, "compiled, and", also=("scan_equals_loop",)
    ),
    Planted("vmap_equals_loop", batches_wrongly, "in a batch"),
    Planted(
        "scan_equals_loop",
        counts_in_floats,
        "state.count is float32[] after a step",
        also=(
            "one_compilation",
            "checkpoint",
            "non_finite_step",
            "state_dtypes",
        ),
    ),
    Planted("one_compilation", starts_weakly, "state.count is strictly typed after a step"),
    Planted("one_compilation", grows, "the state is PyTreeDef", also=None),
    Planted(
        "donation",
        keeps_the_parameters,
        "params['bias'] and state['bias'] are one buffer",
        also=("zero_gradient",),
    ),
    Planted("donation", shrinks, "no output of a step can take over", also=None),
    Planted("sharding", forgets_the_sharding, "state['kernel'] has SingleDeviceSharding"),
    Planted("checkpoint", is_built_by_chance, "from a checkpoint, and", also=("fresh_init",)),
    Planted(
        "checkpoint",
        counts_in_floats,
        "state.count is float32[] after 2 updates",
        also=(
            "scan_equals_loop",
            "one_compilation",
            "non_finite_step",
            "state_dtypes",
        ),
    ),
    Planted("checkpoint", keeps_a_number, "ndarray", also=("sharding",)),
    Planted(
        "non_finite_step",
        counts_in_floats,
        "cond branches must have equal output types",
        also=(
            "scan_equals_loop",
            "one_compilation",
            "checkpoint",
            "state_dtypes",
        ),
    ),
    Planted("tree_kinds", makes_tuples_of_named_tuples, "of a tree with a NamedTuple"),
    Planted(
        "tree_kinds", lambda: optax.sm3(0.1), "of a tree with scalars: list index out", also=None
    ),
    Planted(
        "shapes",
        lambda: rule(lambda v, g: -0.1 * jnp.atleast_1d(v)),
        "the first update of weight['()'], of shape (), has shape (1,)",
    ),
    Planted(
        "shapes",
        lambda: rule(lambda v, g: -0.1 * (v.squeeze() if v.ndim > 1 else v)),
        "the first update of weight['(1, 2, 1, 3)'], of shape (1, 2, 1, 3), has shape (2, 3)",
        also=("elementwise",),
    ),
    Planted("elementwise", normalizes, "in its own leaf, and", also=("zero_gradient",)),
    Planted("elementwise", centers_matrices, "weight['(48, 64)'][0, 0]"),
    Planted("elementwise", turns_convolutions, "weight['(3, 3, 2, 4)'][0, 0, 0, 0]"),
    Planted("elementwise", takes_signs_of_large_leaves, "weight['(48, 64)'][0, 0]"),
    Planted("update_dtypes", follows_the_gradients, "bfloat16 parameters and float32 gradients"),
    Planted(
        "update_dtypes",
        always_float32,
        "of weight['bias'] is float32, not bfloat16",
        also=("complex_leaves",),
    ),
    Planted("state_dtypes", drifts, "bfloat16 parameters and float32 gradients"),
    Planted("state_dtypes", is_promoted_by_its_rate, "bfloat16 parameters and bfloat16 gradients"),
    Planted("narrow_weights", accumulates_in_the_weights_dtype, "16 weight has moved by"),
    Planted("narrow_weights", asks_for_the_dtype, "1.05 times as far"),
    Planted("complex_leaves", lambda: rule(lambda v, g: -0.1 * g**3), "by their parts"),
    Planted(
        "complex_leaves",
        lambda: rule(lambda v, g: -0.1 * jnp.abs(v)),
        "by their parts",
        also=("no_lag", "sign_symmetry"),
    ),
    Planted("no_lag", lags, "is -0 after a gradient of 1 and after one of -1"),
    Planted(
        "no_lag",
        lambda: optax.rprop(0.1),
        "after a gradient of 1 and after one of -1",
        also=(
            "state_dtypes",
            "narrow_weights",
        ),
    ),
    Planted("zero_gradient", decays, "with gradients (0): update 1 is -0.025"),
    Planted(
        "zero_gradient",
        lambda: optax.adam(0.1),
        "float16 weight with gradient 0: update 1",
        also=(
            "update_dtypes",
            "state_dtypes",
            "narrow_weights",
        ),
    ),
    Planted(
        "sign_symmetry",
        lambda: rule(lambda v, g: -0.1 * jnp.maximum(g, -1)),
        "mirrored, and",
        also=("complex_leaves",),
    ),
    Planted("sign_symmetry", hates_a_jump, "with gradients (-4, 40): update 2"),
    Planted("scale_invariance", honest, "if they are 1024 times as large", options=SCALES),
    Planted(
        "scale_invariance",
        lambda: rule(lambda v, g: -0.1 * jnp.sign(v) * (jnp.abs(v) > 1e-2)),
        "if they are 0.000976562 times as large",
        options=SCALES,
    ),
    Planted("long_walk", corrects_by_a_power_that_vanishes, "is nan"),
    Planted("long_walk", stops_after_500_steps, "update 500 is"),
    Planted("counts", counts_in_bytes, "of uint8, counts 255 after step 255 and 0 after step 256"),
    Planted("counts", counts_in_bfloat16, "of bfloat16, counts 256 after step 256 and 256 after"),
    Planted("counts", wraps_in_the_end, "with state.count at 2147483646, next to its limit"),
    Planted("counts", turns_in_the_end, "with state.count at 32766, next to its limit"),
    Planted("counts", never_counts, "state.count stays 0 for a thousand steps"),
    Planted(
        "descends", ascends_one_weight, "it should fall", options=DESCENDS, also=("elementwise",)
    ),
    Planted("descends", never_rests, "it should fall", options=DESCENDS),
    Planted("wide_updates", honest, "is bfloat16, not float32", options=WIDE),
    Planted(
        "wide_updates",
        always_float32,
        "is float32, not float64",
        options=WIDE,
        also=("complex_leaves",),
    ),
    Planted(
        "rounds_stochastically", chance.wide_momentum, "nothing is left to chance", options=CHANCE
    ),
    Planted(
        "rounds_stochastically",
        lambda: chance.momentum(lambda x, bits: x.astype(jnp.bfloat16).astype(x.dtype)),
        "nothing is left to chance",
        options=CHANCE,
    ),
    Planted(
        "rounds_stochastically",
        lambda: chance.momentum(lambda x, bits: chance.by_chance(x, bits // 2)),
        "float32 weights have moved",
        options=CHANCE,
    ),
    Planted(
        "rounds_stochastically",
        adam_by_chance,
        "bfloat16 weights have moved",
        options={
            "claims": ["rounds_stochastically", "wide_updates"],
            "reference": lambda: gdmethods.adam(0.01),
        },
    ),
    Planted(
        "jit_equals_eager",
        lambda: chance.momentum(
            lambda x, bits: chance.by_chance(
                x, 4 * bits - 98304 if isinstance(x, jax.core.Tracer) else bits
            )
        ),
        "compiled, and",
        also=("scan_equals_loop", "zero_gradient", "sign_symmetry", "rounds_stochastically"),
        options=CHANCE,
    ),
    Planted("bounded_steps", loses_small_squares, "times as long", options=BOUNDED, also=None),
    Planted(
        "bounded_steps", underflows, "times as long", options=BOUNDED, also=("complex_leaves",)
    ),
]
