"""The laws of a gradient transformation, each a function that raises at the first case against it.

A law states itself in the first line of its docstring. It looks at a
`Subject`, and whatever it raises is a case against the law: what it says
itself, or what the transformation raised.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import strategies
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gdmethods.testing._differences import (
    TOLERANCE,
    brackets,
    first_difference,
    is_key,
    named_leaves,
    number,
    require_same_types,
    require_same_updates,
    require_same_walk,
    to_numpy,
)
from gdmethods.testing._subject import (
    DTYPES,
    Subject,
    Walk,
    stacked,
    step,
    unstacked,
    words_of_a_solver,
)

Law: TypeAlias = Callable[[Subject], None]


EXAMPLES = 20
COURSE = strategies.sampled_from((1.0, -1.0, 0.0, 0.5, -2.0, 10.0, -0.01))

# What a program does with a transformation.


def purity(subject: Subject) -> None:
    """Same inputs give same outputs: a step that is thrown away leaves no trace."""

    def disturbed(params: Any, state: Any, gradients: Any, loss: Any) -> Any:
        step(subject.tx, params, state, jax.tree.map(jnp.negative, gradients), loss)
        return step(subject.tx, params, state, gradients, loss)

    wanted = subject.eager.updates
    with jax.disable_jit():
        actual = subject.walk(disturbed).updates
    require_same_updates(
        actual, wanted, subject.gradients, "after steps thrown away", "at first", rtol=0
    )


def jit_equals_eager(subject: Subject) -> None:
    """A compiled step computes what its operations do one by one."""
    walk = subject.compiled(subject.params, subject.gradients)
    require_same_walk(walk, subject.eager, subject.gradients, "compiled", "one by one")


def vmap_equals_loop(subject: Subject) -> None:
    """Walks batched by `jax.vmap` are those taken one after another."""
    problems = [jax.tree.map(lambda g, c=c: c * g, subject.gradients) for c in (1.0, -0.5)]
    with jax.disable_jit():
        walks = jax.vmap(lambda gradients: subject.walk(gradients=gradients))(stacked(problems))
    for k, problem in enumerate(problems):
        walk = jax.tree.map(lambda leaf, k=k: leaf[k], walks)
        alone = subject.compiled(subject.params, problem)
        require_same_walk(walk, alone, problem, "in a batch", "alone")


def scan_equals_loop(subject: Subject) -> None:
    """`jax.lax.scan` accepts the state as its carry, and equals a loop."""
    state = subject.tx.init(subject.params)
    require_same_types(subject.eager.state, state, "after a step", "before")

    def body(carry: Any, inputs: Any) -> Any:
        params, state, updates = step(subject.tx, *carry, *inputs)
        return (params, state), updates

    course = subject.gradients, subject.losses
    (_, state), updates = jax.jit(partial(jax.lax.scan, body))((subject.params, state), course)
    walk = Walk(updates, state)
    require_same_walk(walk, subject.eager, subject.gradients, "in a scan", "in a loop")


def donation(subject: Subject) -> None:
    """No buffer is both state and parameter, and `donate_argnums=(0, 1)` can reuse each."""
    params = jax.tree.map(jnp.copy, subject.params)
    state = subject.tx.init(params)
    owners: dict[int, str] = {}
    for tree_name, tree in (("params", params), ("state", state)):
        for path, leaf in named_leaves(tree):
            if isinstance(leaf, jax.Array) and leaf.size:
                name = tree_name + path
                owner = owners.setdefault(leaf.unsafe_buffer_pointer(), name)
                if owner != name:
                    raise AssertionError(f"{owner} and {name} are one buffer after init")
    donating = jax.jit(lambda *inputs: step(subject.tx, *inputs)[:2], donate_argnums=(0, 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        donating.lower(params, state, *subject.course()[0])
    for warning in caught:
        if "donated buffers were not usable" in str(warning.message):
            raise AssertionError(f"no output of a step can take over: {warning.message}")


def one_compilation(subject: Subject) -> None:
    """The second step compiles nothing: the state keeps its tree and its types, weak ones too."""
    _, following = subject.compiled(subject.params, subject.gradients)
    if subject.traces == 1:
        return
    state = jax.eval_shape(subject.tx.init, subject.params)
    require_same_types(following, state, "after a step", "before")
    for (path, before), after in zip(named_leaves(state), jax.tree.leaves(following), strict=True):
        if before.weak_type != after.weak_type:
            weak = {True: "weakly typed", False: "strictly typed"}
            raise AssertionError(
                f"state{path} is {weak[after.weak_type]} after a step, and "
                f"{weak[before.weak_type]} before"
            )
    raise AssertionError(f"{subject.traces} compilations in {subject.steps} steps")


def sharding(subject: Subject) -> None:
    """What has a parameter's shape in the state has its sharding, after init and after a step."""
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("x",), (AxisType.Auto,), devices=devices)
    split = NamedSharding(mesh, PartitionSpec("x"))
    params = {"kernel": jax.device_put(jnp.ones((2 * len(devices), 3)), split)}
    state = subject.tx.init(params)
    states = {"init": state}
    if len(devices) > 1:  # on one device a compiled step has nothing to split
        compiled = jax.jit(lambda *inputs: step(subject.tx, *inputs))
        states["a step"] = compiled(params, state, params, jnp.float32(1))[1]
    for when, tree in states.items():
        for path, leaf in named_leaves(tree):
            if leaf.shape == params["kernel"].shape and not (
                isinstance(leaf.sharding, NamedSharding)
                and leaf.sharding.is_equivalent_to(split, leaf.ndim)
            ):
                raise AssertionError(f"state{path} has {leaf.sharding} after {when}, not {split}")


def abstract_init(subject: Subject) -> None:
    """`init` takes `jax.ShapeDtypeStruct`, and `jax.eval_shape` sees the types of the state."""
    structs = jax.eval_shape(lambda: subject.params)
    state = subject.tx.init(subject.params)
    seen = jax.eval_shape(subject.tx.init, structs)
    require_same_types(seen, state, "by eval_shape", "in fact")
    require_same_types(subject.tx.init(structs), state, "made of structs", "made of arrays")


def extra_args(subject: Subject) -> None:
    """Extra arguments that it does not know are ignored."""
    gradients, loss = subject.course()[0]
    state = subject.tx.init(subject.params)
    words = words_of_a_solver(subject.params, gradients, loss)
    with jax.disable_jit():
        wanted = subject.tx.update(gradients, state, subject.params, **words)
        others = words | {"batch_size": 7, "an_unknown_word": "unknown"}
        actual = subject.tx.update(gradients, state, subject.params, **others)
    difference = first_difference(actual, wanted)
    if difference:
        raise AssertionError(
            f"batch_size=7 makes {difference.got} of {difference.wanted} in update's result at "
            f"{difference.path}"
        )


def non_finite_step(subject: Subject) -> None:
    """Under `optax.apply_if_finite` a gradient with a NaN leaves the state as it was."""
    guarded = optax.apply_if_finite(subject.tx, max_consecutive_errors=3)
    first, (gradients, loss) = subject.course()[:2]
    broken = jax.tree.map(lambda g: g * jnp.nan, gradients), loss
    start = subject.params, guarded.init(subject.params)
    jax.eval_shape(lambda *inputs: step(guarded, *inputs), *start, *first)
    with jax.disable_jit():
        params, state, _ = step(guarded, *start, *first)
        params_after, state_after, _ = step(guarded, params, state, *broken)
    before, after = (params, state.inner_state), (params_after, state_after.inner_state)
    difference = first_difference(after, before)
    if difference:
        raise AssertionError(f"a NaN makes {difference.got} of {difference.wanted}")


def checkpoint(subject: Subject) -> None:
    """A state written, and read into the layout of a new build, goes on to the same bits."""
    half = subject.steps // 2
    course, params = subject.course(), subject.params
    state = subject.tx.init(params)
    with jax.disable_jit():
        for inputs in course[:half]:
            params, state, _ = step(subject.tx, params, state, *inputs)
    chex.assert_tree_has_only_ndarrays(state)
    keys = {path: jax.random.key_impl(leaf) for path, leaf in named_leaves(state) if is_key(leaf)}
    written = {path: to_numpy(leaf) for path, leaf in named_leaves(state)}

    tx = subject.make()
    layout = jax.eval_shape(tx.init, subject.params)
    require_same_types(state, layout, f"after {half} updates", "after init")
    read = [
        jax.random.wrap_key_data(written[path], impl=keys[path])
        if path in keys
        else jnp.asarray(written[path])
        for path, _ in named_leaves(layout)
    ]
    state = jax.tree.unflatten(jax.tree.structure(layout), read)
    path = []
    with jax.disable_jit():
        for inputs in course[half:]:
            params, state, updates = step(tx, params, state, *inputs)
            path.append(updates)
    rest, gradients = (
        jax.tree.map(lambda leaf: leaf[half:], tree)
        for tree in (subject.eager.updates, subject.gradients)
    )
    require_same_updates(
        stacked(path), rest, gradients, "from a checkpoint", "without one", rtol=0
    )


# Dtypes and trees.


def update_dtypes(subject: Subject) -> None:
    """Updates have the parameters' dtypes, whatever the gradients'."""
    for mix in subject.mixes:
        for (path, update), param in zip(
            named_leaves(mix.updates), jax.tree.leaves(mix.params), strict=True
        ):
            if update.dtype != param.dtype:
                raise AssertionError(f"{mix.case}, the update of weight{path} is {update.dtype}")


def state_dtypes(subject: Subject) -> None:
    """An update changes no type of the state, whatever the parameters' and gradients' dtypes."""
    for mix in subject.mixes:
        require_same_types(mix.following, mix.state, f"after an update {mix.case}", "before")


def tree_kinds(subject: Subject) -> None:
    """Every kind of tree comes back as it was, with the numbers of a plain list."""

    def updates(kind: Callable[..., Any]) -> Any:
        trees = [kind(*(jnp.asarray(half) for half in np.split(row, 2))) for row in _ROWS]
        params, state = trees[0], subject.tx.init(trees[0])
        for gradients in trees[1:]:
            params, state, updates = step(subject.tx, params, state, gradients, jnp.float32(1))
        chex.assert_trees_all_equal_structs(updates, trees[0])
        return updates

    def check(name: str, kind: Callable[..., Any]) -> None:
        plain = updates(lambda a, b: jax.tree.leaves(kind(a, b)))
        if first_difference(jax.tree.leaves(updates(kind)), plain):
            raise AssertionError(f"a tree with {name} has other updates than a list of its leaves")

    with jax.disable_jit():
        try:
            check("all of these", lambda a, b: {name: kind(a, b) for name, kind in KINDS.items()})
        except Exception:
            for name, kind in KINDS.items():
                try:
                    check(name, kind)
                except Exception as error:
                    raise AssertionError(f"of a tree with {name}: {error}") from error
            raise


class _Pair(NamedTuple):
    first: Any
    second: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class _Layer:
    weight: Any
    bias: Any


@chex.dataclass
class _Mappable:
    first: Any
    second: Any


_ROWS = np.array([[0.5, -1, 2, 1], [1, -2, 0.5, -1], [-1, -1, 0, 2]], np.float32)
KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "a dict": lambda a, b: {"b": a, "a": {"c": b}},
    "a list and a tuple": lambda a, b: [a, (b,)],
    "a NamedTuple": lambda a, b: _Pair(b, _Pair(a, b)),
    "a dataclass": lambda a, b: _Layer(a, _Layer(b, a)),
    "a chex.dataclass": lambda a, b: _Mappable(first=a, second=b),  # type: ignore[call-arg]
    "None": lambda a, b: {"a": a, "none": None, "b": b},
    "optax.MaskedNode": lambda a, b: {"a": a, "masked": optax.MaskedNode(), "b": b},
    "a leaf of size zero": lambda a, b: [a, b[:0], b],
    "scalars": lambda a, b: [a[0], b[1]],
    "one bare leaf": lambda a, b: a,
    "no leaf": lambda a, b: {"none": None, "empty": ()},
}


def complex_leaves(subject: Subject) -> None:
    """A complex leaf is two real ones, or turns with its gradients, or is refused by name.

    Two real ones: its parts are updated as real leaves would be. It turns: a
    method of |g|² cannot tell gradients from those turned by an angle in the
    complex plane, and its updates turn alike.
    """
    w, *course = (np.array([a + 1j * b, c - 1j * d], np.complex64) for a, b, c, d in _ROWS)

    def walk(split: Callable[[Any], Any]) -> Any:
        params = split(w)
        state = subject.tx.init(params)
        path = []
        for g in course:
            params, state, updates = step(subject.tx, params, state, split(g), jnp.float32(1))
            path.append(updates)
        return path

    angle = np.exp(0.5j).astype(np.complex64)
    with jax.disable_jit():
        try:
            whole = walk(jnp.asarray)
        except (TypeError, ValueError) as error:
            if "complex" in str(error):
                return
            raise
        pairs = walk(lambda z: {"re": jnp.asarray(z.real), "im": jnp.asarray(z.imag)})
        expected = [pair["re"] + 1j * pair["im"] for pair in pairs]
        difference = first_difference(whole, expected, TOLERANCE)
        if difference is None:
            return
        turned = [angle * update for update in whole]
        if first_difference(walk(lambda z: jnp.asarray(angle * z)), turned, TOLERANCE):
            raise AssertionError(
                f"update {difference.leaf + 1} of complex weights is {difference.got}, and "
                f"{difference.wanted} by their parts; nor does it turn with the gradients"
            )


# What it computes.


def elementwise(subject: Subject) -> None:
    """Each weight goes by itself: to split, permute and leave out leaves changes nothing."""

    def rearranged(tree: Any) -> list[Any]:
        rows = [leaf.ravel()[::-1] for leaf in reversed(jax.tree.leaves(tree))]
        halves = [half for row in rows for half in np.array_split(row, 2)]
        return halves[:-1]

    def each_rearranged(tree: Any) -> Any:
        return stacked([rearranged(row) for row in unstacked(tree)])

    gradients = each_rearranged(subject.gradients)
    wanted = each_rearranged(subject.eager.updates)
    with jax.disable_jit():
        walk = subject.walk(params=rearranged(subject.params), gradients=gradients)
    require_same_updates(walk.updates, wanted, gradients, "in other leaves", "in its own")


def zero_gradient(subject: Subject) -> None:
    """A leaf whose gradient is zero for ever stays put, in every dtype."""

    def check(course: Sequence[float]) -> None:
        leaves, structure = jax.tree.flatten(subject.along(course))
        leaves[0] = np.zeros_like(leaves[0])
        gradients = jax.tree.unflatten(structure, leaves)
        updates = subject.compiled(subject.params, gradients).updates
        first = jax.tree.leaves(updates)[:1]
        require_same_updates(first, leaves[:1], leaves[:1], "in fact", "if it stayed", rtol=0)

    _for_every_course(subject, check)
    with jax.disable_jit():
        for dtype in DTYPES[:-1]:  # float64 would need 64-bit JAX
            w = {"w": jnp.ones(2, dtype)}
            state, zeros = subject.tx.init(w), jax.tree.map(jnp.zeros_like, w)
            for t in range(2):
                _, state, updates = step(subject.tx, w, state, zeros, jnp.float32(1))
                if np.any(updates["w"] != 0):
                    raise AssertionError(
                        f"a {dtype} weight with gradient 0: update {t + 1} is "
                        f"{number(updates['w'][0])}"
                    )


def sign_symmetry(subject: Subject) -> None:
    """Down f(−w) from −w the updates are those down f(w) from w, with their signs turned."""

    def check(course: Sequence[float]) -> None:
        gradients = subject.along(course)
        there = subject.compiled(subject.params, gradients).updates
        params, mirrored = jax.tree.map(jnp.negative, (subject.params, gradients))
        back = jax.tree.map(jnp.negative, subject.compiled(params, mirrored).updates)
        require_same_updates(back, there, gradients, "mirrored", "straight")

    _for_every_course(subject, check)


def scale_invariance(subject: Subject) -> None:
    """Gradients a thousand times as large, or as small, give the same updates."""

    def check(course: Sequence[float]) -> None:
        gradients = subject.along(course)
        wanted = subject.compiled(subject.params, gradients).updates
        for scale in (1024.0, 1 / 1024):
            scaled = jax.tree.map(lambda g, c=scale: c * g, gradients)
            actual = subject.compiled(subject.params, scaled).updates
            require_same_updates(
                actual, wanted, gradients, f"if they are {scale:g} times as large", "as they are"
            )

    _for_every_course(subject, check)


def no_lag(subject: Subject) -> None:
    """The first update depends on the first gradient, in every weight."""
    gradients = [subject.along([sign] * subject.steps) for sign in (1.0, -1.0)]
    firsts = [
        jax.tree.map(lambda leaf: leaf[0], (g, subject.compiled(subject.params, g).updates))
        for g in gradients
    ]
    (ups, after_up), (downs, after_down) = firsts
    for (path, a), *rest in zip(
        named_leaves(after_up), *map(jax.tree.leaves, (after_down, ups, downs)), strict=True
    ):
        b, up, down = rest
        for index in np.argwhere(np.asarray(a == b)):
            at = tuple(index.tolist())
            raise AssertionError(
                f"the first update of weight{path}{brackets(at)} is {number(a[at])} after a "
                f"gradient of {number(up[at])} and after one of {number(down[at])}"
            )


def _for_every_course(subject: Subject, check: Callable[[Sequence[float]], None]) -> None:
    """Searches for gradients against a law, and shrinks what it finds."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.lists(COURSE, min_size=1, max_size=subject.steps))
    def search(course: list[float]) -> None:
        check(course + [0.0] * (subject.steps - len(course)))

    search()


class _Laws(dict[str, Law]):
    def __repr__(self) -> str:
        """A line for each law: its name and what it states."""
        statements = ((law.__doc__ or "").splitlines()[0] for law in self.values())
        return "\n".join(map("{}: {}".format, self, statements))


LAWS = _Laws(
    (law.__name__, law)
    for law in (
        purity,
        jit_equals_eager,
        vmap_equals_loop,
        scan_equals_loop,
        one_compilation,
        donation,
        sharding,
        checkpoint,
        abstract_init,
        extra_args,
        tree_kinds,
        update_dtypes,
        state_dtypes,
        complex_leaves,
        non_finite_step,
        no_lag,
        elementwise,
        zero_gradient,
        sign_symmetry,
        scale_invariance,
    )
)
"""Every law by its name, in the order of the report."""

CLAIMED = frozenset({"scale_invariance"})
"""The laws that hold for few, and are checked of those who claim them."""
