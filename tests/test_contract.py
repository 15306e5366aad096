"""What every method owes to JAX and to Optax, whatever its formula.

The gradients are given and do not depend on the weights, so that rounding has nowhere to grow.
"""

from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import FrozenDict
from table import METHODS, STEPS_TO_CONVERGE, every_method
from trajectories import random_gradients, x64

import gdmethods
from gdmethods.testing import assert_contract

PARAMS = {"kernel": np.linspace(-1, 1, 12).reshape(4, 3), "layer": {"scale": np.array(0.5)}}
# The first weight of the kernel never has a gradient other than zero.
GRADIENTS = jax.tree.map(lambda g: g[:6], random_gradients(decades=1))
LOSSES = np.array([1.0, 0.8, 1.1, 1.3, 0.9, 0.7])


def single(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def stacked(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def unstacked(tree):
    """The gradients of one step after another."""
    return [jax.tree.map(lambda leaf, t=t: leaf[t], tree) for t in range(len(LOSSES))]


STEPS = list(zip(unstacked(single(GRADIENTS)), single(LOSSES), strict=True))


def step(method, tx, params, state, gradients, loss):
    updates, state = tx.update(gradients, state, params, **method.extra_args(loss))
    return optax.apply_updates(params, updates), state, updates


def scan(method, tx, params, gradients=GRADIENTS):
    """The updates of all steps, stacked, and the state after them, in one scan."""

    def body(carry, inputs):
        params, state, updates = step(method, tx, *carry, *inputs)
        return (params, state), updates

    (_, state), updates = jax.lax.scan(
        body, (params, tx.init(params)), (gradients, jnp.asarray(LOSSES))
    )
    return updates, state


def walk(step, params, state, steps=STEPS):
    """The same, one step at a time."""
    path = []
    for gradients, loss in steps:
        params, state, updates = step(params, state, gradients, loss)
        path.append(updates)
    return stacked(path), state


@cache
def walked(method):
    """The updates of all steps, stacked, and the state after them."""
    return updates_of(method, method.build(), STEPS)


def assert_all_close(actual, expected, rtol=1e-5):
    chex.assert_trees_all_close(actual, expected, rtol=rtol, atol=rtol / 100)


def assert_contract_of(method):
    """Every law that gdmethods.testing holds any transformation to."""
    allow = {"zero_gradient": "weight decay moves every weight"} if method.decays else None
    assert_contract(method.build, claims=method.claims, allow=allow)


QUICK = ("adam",)


@every_method(lambda method: method in map(METHODS.get, QUICK))
def test_the_contract(method):
    assert_contract_of(method)


@pytest.mark.proof
@every_method(lambda method: method not in map(METHODS.get, QUICK))
def test_the_contract_of_the_other_rows(method):
    assert_contract_of(method)


@every_method(lambda method: not method.decays)
def test_the_walk_is_worth_walking(method):
    """Every weight that has gradients moves, there and back, and the other one does not."""
    updates, _ = walked(method)
    assert np.all(updates["kernel"][:, 0, 0] == 0)
    moving = updates["kernel"].reshape(len(LOSSES), -1)[:, 1:]
    assert np.all(np.count_nonzero(moving, axis=0) >= 3)
    assert np.all(moving.std(axis=0) > 1e-3)


@every_method()
def test_the_second_eager_call_compiles_nothing(method, caplog):
    tx, params = method.build(), single(PARAMS["kernel"])
    (first, loss), (second, next_loss) = ((g["kernel"], loss) for g, loss in STEPS[:2])
    params, state, _ = step(method, tx, params, tx.init(params), first, loss)
    with jax.log_compiles():
        step(method, tx, params, state, second, next_loss)
    assert compilations(caplog) == []


def compilations(caplog):
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("Compiling")]


def test_compilations_are_seen(caplog):
    """What the test above relies on."""
    with jax.log_compiles():
        jax.jit(lambda x: x + 1)(jnp.float32(1))
    assert len(compilations(caplog)) == 1


# Dtypes, seen by abstract evaluation: nothing is computed or compiled.

DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64]


def abstract(dtypes):
    """Weights of a kernel and a scale with these dtypes."""
    return {
        "kernel": jax.ShapeDtypeStruct((3, 2), dtypes[0]),
        "scale": jax.ShapeDtypeStruct((), dtypes[1]),
    }


def assert_state(method, state, params, accumulator_dtype=None):
    """Accumulators shaped like the parameters and at least float32; all else is scalar."""

    def accumulator(p):
        return jax.ShapeDtypeStruct(
            p.shape, accumulator_dtype or jnp.promote_types(p.dtype, jnp.float32)
        )

    def square(p):
        return jax.ShapeDtypeStruct(p.shape, jnp.finfo(accumulator(p).dtype).dtype)

    def sign(p):
        return jax.ShapeDtypeStruct(p.shape, jnp.int8)

    for name, value in state._asdict().items():
        if name in method.accumulators:
            expected = jax.tree.map(accumulator, params)
        elif name in method.squares:
            expected = jax.tree.map(square, params)
        elif name in method.signs:
            expected = jax.tree.map(sign, params)
        elif name == "count":
            expected = jax.ShapeDtypeStruct((), jnp.int32)
        else:
            assert value is None or value.shape == ()
            continue
        chex.assert_trees_all_equal_shapes_and_dtypes(value, expected)


def assert_unchanged(state, following):
    chex.assert_trees_all_equal_structs(state, following)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, following)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(following), strict=True):
        assert before.weak_type == after.weak_type


@every_method()
def test_dtypes_and_shapes(method):
    pairs = [(p, p) for p in DTYPES]
    pairs += [(jnp.float32, jnp.bfloat16), (jnp.float16, jnp.float64)]
    for dtypes in pairs:
        with x64(jnp.float64 if jnp.float64 in dtypes else jnp.float32):
            tx, params = method.build(), abstract(dtypes)
            state = jax.eval_shape(tx.init, params)
            updates, following = jax.eval_shape(
                lambda g, s, p, tx=tx: tx.update(g, s, p, **method.extra_args(1.0)),
                params,
                state,
                params,
            )
        chex.assert_trees_all_equal_structs(updates, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        assert_state(method, state, params)
        assert_unchanged(state, following)


@every_method(lambda method: not method.decays)
def test_without_parameters_updates_have_the_gradients_dtypes(method):
    with x64(jnp.float64):
        tx = method.build()
        for params in (abstract(DTYPES[:2]), abstract(DTYPES[2:])):
            state = jax.eval_shape(tx.init, params)
            for dtype in DTYPES:
                gradients = abstract([dtype, dtype])
                updates, following = jax.eval_shape(
                    lambda g, s: tx.update(g, s, **method.extra_args(1.0)), gradients, state
                )
                chex.assert_trees_all_equal_shapes_and_dtypes(updates, gradients)
                assert_unchanged(state, following)


@every_method(lambda method: not method.refuses_complex)
def test_complex_weights(method):
    """Squares are real, and the rest is as complex as the weights."""
    for dtype in (jnp.complex64, jnp.complex128):
        with x64(dtype):
            tx, params = method.build(), abstract([dtype, jnp.finfo(dtype).dtype])
            state = jax.eval_shape(tx.init, params)
            updates, following = jax.eval_shape(tx.update, params, state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        assert_state(method, state, params)
        assert_unchanged(state, following)


@every_method(lambda method: method.accumulators + method.squares != ())
def test_accumulator_dtype(method):
    with x64(jnp.float64):
        for dtype in (jnp.bfloat16, "float32", np.float64):
            tx, params = method.build(accumulator_dtype=dtype), abstract(DTYPES[:2])
            state = jax.eval_shape(tx.init, params)
            updates, following = jax.eval_shape(
                lambda g, s, p, tx=tx: tx.update(g, s, p, **method.extra_args(1.0)),
                params,
                state,
                params,
            )
            chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
            assert_state(method, state, params, jnp.dtype(dtype))
            assert_unchanged(state, following)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16", jnp.dtype("bfloat16")], ids=repr)
def test_accumulator_dtype_among_hyperparameters_to_inject(dtype):
    """A class such as jnp.bfloat16 is callable: Optax takes it for a schedule, and calls it."""
    tx = optax.inject_hyperparams(gdmethods.momentum)(0.1, accumulator_dtype=dtype)
    state = tx.init(single(PARAMS))
    _, following = jax.jit(tx.update)(single(PARAMS), state, single(PARAMS))
    assert_unchanged(state, following)
    assert optax.tree.get(following, "velocity")["kernel"].dtype == jnp.bfloat16


@every_method()
def test_state_bytes_per_weight(method):
    weights = jax.ShapeDtypeStruct((1000,), jnp.float32)
    state = jax.eval_shape(method.build().init, weights)
    trees = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == weights.shape]
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in trees) == 1000 * method.bytes_per_weight
    scalars = [leaf for leaf in jax.tree.leaves(state) if leaf.shape != weights.shape]
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in scalars) <= 12


# Composition with Optax: the method receives what it would alone, and its answer is passed on.


def updates_of(method, tx, steps=STEPS[:4], params=None):
    """The updates of one step after another, and the state after them.

    A step is traced, as jax.jit and the branches of jax.lax.cond would, and then computed
    operation by operation: there is no need to compile each wrapper around each method.
    """
    params, each = single(PARAMS) if params is None else params, partial(step, method, tx)
    state = tx.init(params)
    _, following, _ = jax.eval_shape(each, params, state, *steps[0])
    assert_unchanged(jax.eval_shape(lambda: state), following)
    with jax.disable_jit():
        return walk(each, params, state, steps)


def first(steps, tree):
    return jax.tree.map(lambda leaf: leaf[:steps], tree)


@every_method(lambda method: not method.decays)  # whose weights would be others
def test_in_a_chain(method):
    """Gradients clipped before and updates scaled by a schedule after."""
    tx = method.build()
    chain = optax.chain(
        optax.clip_by_global_norm(5.0), tx, optax.scale_by_schedule(lambda count: 1.0 + count)
    )
    clipped = []
    for gradients, loss in STEPS[:4]:
        norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradients)))
        clipped.append((optax.tree.scale(min(1, 5 / norm), gradients), loss))
    alone, _ = updates_of(method, tx, clipped)
    updates, _ = updates_of(method, chain)
    assert_all_close(updates["kernel"], alone["kernel"] * np.array([1, 2, 3, 4])[:, None, None])


@every_method()
def test_in_a_partition(method):
    """The kernel by the method, the scale by another."""
    tx = method.build()
    partition = optax.partition(
        {"this": tx, "other": optax.sgd(0.5)}, {"kernel": "this", "layer": "other"}
    )
    updates, _ = updates_of(method, partition)
    alone, _ = walked(method)
    assert_all_close(updates["kernel"], alone["kernel"][:4])
    assert_all_close(updates["layer"]["scale"], -0.5 * GRADIENTS["layer"]["scale"][:4])


@every_method()
def test_masked(method):
    tx = method.build()
    updates, state = updates_of(method, optax.masked(tx, {"kernel": True, "layer": False}))
    alone, _ = walked(method)
    assert_all_close(updates["kernel"], alone["kernel"][:4])
    assert_all_close(updates["layer"]["scale"], GRADIENTS["layer"]["scale"][:4])
    fields = method.accumulators + method.squares + method.signs
    for name in fields:
        assert getattr(state.inner_state, name)["layer"] == optax.MaskedNode()


@every_method()
def test_multi_steps(method):
    """Each gradient in two parts, whose mean it is."""
    tx = method.build()
    parts = [
        (optax.tree.scale(c, gradients), loss) for gradients, loss in STEPS[:3] for c in (0.5, 1.5)
    ]
    updates, _ = updates_of(method, optax.MultiSteps(tx, 2), parts)
    assert all(not np.any(leaf[0::2]) for leaf in jax.tree.leaves(updates))
    assert_all_close(jax.tree.map(lambda leaf: leaf[1::2], updates), first(3, walked(method)[0]))


def in_double_precision(method, tx):
    with x64(jnp.float64):
        steps = zip(unstacked(GRADIENTS), LOSSES, strict=True)
        params, steps = jax.tree.map(jnp.asarray, (PARAMS, list(steps)))
        return updates_of(method, tx, steps, params)[0]


@cache
def double(method):
    return in_double_precision(method, method.build())


@every_method(lambda method: not any(map(callable, method.flags.values())))
def test_inject_hyperparams(method):
    """In x64, where a hyperparameter has the same digits as an array and as a number."""
    injected = optax.inject_hyperparams(method.factory)(**method.hyperparameters, **method.flags)
    assert_all_close(in_double_precision(method, injected), double(method), 1e-12)


@every_method(lambda method: method.core is not None)
def test_an_alias_is_its_core_with_the_learning_rate(method):
    assert_all_close(in_double_precision(method, method.core()), double(method), 1e-12)


# Trees, beside the kinds that gdmethods.testing knows.


@every_method()
def test_trees_of_flax(method):
    """The updates have the gradients' tree, and its leaves those of a plain list."""

    def flax_trees(a, b):
        return {
            "frozen": FrozenDict({"a": a, "b": {"b": b}}),
            "nnx": nnx.State({"a": nnx.Param(a), "b": {"b": nnx.Param(b)}}),
        }

    def update(gradients):
        tx = method.build()
        state = tx.init(gradients)
        updates, following = tx.update(gradients, state, gradients, **method.extra_args(1.0))
        assert_unchanged(state, following)
        return updates

    tree = flax_trees(jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0]))
    with jax.disable_jit():
        updates = update(tree)
        chex.assert_trees_all_equal_structs(updates, tree)
        chex.assert_trees_all_equal(jax.tree.leaves(updates), update(jax.tree.leaves(tree)))


@every_method()
@pytest.mark.parametrize("empty", [(), {}, [], optax.MaskedNode(), {"a": None}], ids=repr)
def test_trees_without_a_leaf(method, empty):
    tx = method.build()
    updates, state = tx.update(empty, tx.init(empty), empty, **method.extra_args(1.0))
    assert updates == empty
    assert_unchanged(tx.init(empty), state)


@pytest.mark.proof
@every_method()
def test_numpy_arrays(method):
    """Of double precision, as NumPy has them, where JAX keeps float32."""
    params, (gradients, loss) = PARAMS, next(zip(unstacked(GRADIENTS), LOSSES, strict=True))
    with x64(jnp.float32):
        tx = method.build()
        updates, state = tx.update(gradients, tx.init(params), params, **method.extra_args(loss))
        assert_all_close(updates, jax.tree.map(lambda leaf: leaf[0], walked(method)[0]))
        chex.assert_trees_all_equal_shapes_and_dtypes(state, tx.init(single(PARAMS)))


@every_method(lambda method: not method.decays)
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.proof)])
def test_a_weight_that_never_had_a_gradient_stays_put(method, jit):
    """Also where eps is zero, or so small that it is zero in float16."""
    tx = method.build(**{"eps": 1e-8} if method.hyperparameters.get("eps") else {})
    params = {dtype: jnp.ones((2,), dtype) for dtype in ("float32", "bfloat16", "float16")}
    gradients = jax.tree.map(jnp.zeros_like, params)
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(3):
        with jax.disable_jit(not jit):
            updates, state = update(gradients, state, params, **method.extra_args(1.0))
        for leaf in jax.tree.leaves(updates):
            np.testing.assert_array_equal(np.asarray(leaf, np.float32), 0)


@every_method()
def test_tree_map_params(method):
    """Optax finds what is shaped like the parameters, and what is not."""
    tx = method.build()
    state = tx.init(single(PARAMS))
    marked = optax.tree.map_params(
        tx, lambda _: "parameter", state, transform_non_params=lambda _: "other"
    )
    for name, value in state._asdict().items():
        like_params = name in method.accumulators + method.squares + method.signs
        mark = "parameter" if like_params else "other"
        assert getattr(marked, name) == jax.tree.map(lambda _, mark=mark: mark, value)


# Hyperparameters as arrays.


DECAYS = {"momentum", "rho", "decay", "b1", "b2"}


def numeric(method):
    return bool(method.hyperparameters) and method.core is not None


@pytest.mark.proof
@every_method(numeric)
def test_hyperparameters_as_arguments(method):
    """Traced, swept and differentiated.

    The derivative is held against a central difference. A weight whose gradients are exactly
    zero is among the weights, and must not turn a derivative into NaN.
    """

    def trained(hyperparameters):
        updates, _ = scan(method, method.build(**hyperparameters), params, gradients)
        return jnp.sum(updates * jnp.abs(updates))

    with x64(jnp.float64):
        params, gradients = jnp.asarray(PARAMS["kernel"]), jnp.asarray(GRADIENTS["kernel"])
        point = {name: jnp.asarray(value) for name, value in method.hyperparameters.items()}
        step_of = {name: 1e-6 * value for name, value in point.items()}
        points = [point]
        for name, h in step_of.items():
            points += [point | {name: point[name] + h}, point | {name: point[name] - h}]

        values, derivatives = jax.jit(jax.vmap(jax.value_and_grad(trained)))(stacked(points))
        function = jax.jit(trained)
        for h, value in zip(points, values, strict=True):
            np.testing.assert_allclose(function(h), value, rtol=1e-12, atol=1e-14)
        assert function._cache_size() == 1

        for k, (name, h) in enumerate(step_of.items()):
            slope = (values[2 * k + 1] - values[2 * k + 2]) / (2 * h)
            np.testing.assert_allclose(
                derivatives[name][0], slope, rtol=1e-5, atol=1e-6, err_msg=name
            )
        assert derivatives["learning_rate"][0] != 0


@pytest.mark.proof
@every_method(
    lambda method: (
        numeric(method)
        and bool(DECAYS & method.hyperparameters.keys())
        and "centered" not in method.flags
    )
)
def test_derivatives_at_a_decay_of_zero(method):
    """No decay is below 0, so that the slope is that of a parabola through 0, h and 2h:

    f(0) = a, f(h) = a + bh + ch², f(2h) = a + 2bh + 4ch²; hence 4f(h) − f(2h) − 3f(0) = 2bh.
    The first weight has no gradient, and the others always one. A centered method has no slope
    there: its variance is 0, and it divides by the root of that.
    """

    def trained(hyperparameters):
        updates, _ = scan(method, method.build(**hyperparameters), params, gradients)
        return jnp.sum(updates * jnp.abs(updates))

    h = 1e-6
    with x64(jnp.float64):
        gradients = jnp.asarray(np.random.default_rng(5).normal(size=(6, 4)) * [0, 1, 1, 1])
        params = jnp.zeros(4)
        point = {name: jnp.asarray(value) for name, value in method.hyperparameters.items()}
        names = sorted(DECAYS & point.keys())
        points = [point | {name: jnp.asarray(b)} for name in names for b in (0.0, h, 2 * h)]
        values, slopes = jax.jit(jax.vmap(jax.value_and_grad(trained)))(stacked(points))
        for k, name in enumerate(names):
            at_zero, near, far = values[3 * k : 3 * k + 3]
            slope = (4 * near - far - 3 * at_zero) / (2 * h)
            np.testing.assert_allclose(slopes[name][3 * k], slope, rtol=1e-5, err_msg=name)


@every_method(numeric)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64], ids=str)
def test_hyperparameters_of_another_dtype_change_no_dtype(method, dtype):
    def two_steps(hyperparameters, params):
        tx = method.build(**hyperparameters)
        extra_args = method.extra_args(jnp.float32(1))
        updates, state = tx.update(params, tx.init(params), params, **extra_args)
        return updates, state, tx.update(params, state, params, **extra_args)[1]

    with x64(jnp.float64):
        hyperparameters = {
            name: jax.ShapeDtypeStruct((), dtype) for name in method.hyperparameters
        }
        params = abstract(DTYPES[:2])
        updates, state, following = jax.eval_shape(two_steps, hyperparameters, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    assert_state(method, state, params)
    assert_unchanged(state, following)


@pytest.mark.parametrize("eps", [0.0, 1e-8])
@pytest.mark.parametrize(
    "factory", [gdmethods.adagrad, gdmethods.adadelta, gdmethods.rmsprop, gdmethods.adam]
)
def test_derivatives_are_finite_through_a_weight_without_gradient(factory, eps):
    """√ has no slope at 0, and 0/0 none at all, where the gradient hangs on the rate."""

    def trained(rate):
        tx, weights = factory(rate, eps=eps), jnp.array([1.0, 2.0])
        state = tx.init(weights)
        for _ in range(3):
            updates, state = tx.update(weights * jnp.array([1.0, 0.0]), state, weights)
            weights = optax.apply_updates(weights, updates)
        return weights

    with jax.disable_jit():
        derivative = jax.jacobian(trained)(0.1)
    assert np.all(np.isfinite(derivative))
    assert derivative[1] == 0


@pytest.mark.parametrize("factory", [gdmethods.adaptive_gains, gdmethods.rmsprop])
def test_a_momentum_of_zero_that_may_change_keeps_its_velocity(factory):
    """As an array 0 is no promise: optax.inject_hyperparams may raise it in a later step."""
    tx = optax.inject_hyperparams(factory)(0.1, momentum=0.0)
    params = single(PARAMS)
    state = tx.init(params)
    _, following = jax.jit(tx.update)(params, state, params)
    assert_unchanged(state.inner_state, following.inner_state)
    assert following.inner_state.velocity is not None
    assert factory(0.1, momentum=0.0).init(params).velocity is None


@every_method(lambda method: not any(map(callable, method.flags.values())))
def test_nothing_is_promoted_in_silence(method):
    """Of the dtypes of weights, accumulators, signs and hyperparameters each is cast by name."""
    hyperparameters = {name: jnp.bfloat16(0.9) for name in ("learning_rate", "momentum")}
    given = {k: v for k, v in hyperparameters.items() if k in method.hyperparameters}
    with jax.numpy_dtype_promotion("strict"):
        tx, params = method.build(**given), abstract(DTYPES[:2])
        state = jax.eval_shape(tx.init, params)
        jax.eval_shape(
            lambda g, s, p: tx.update(g, s, p, **method.extra_args(jnp.float32(1))),
            params,
            state,
            params,
        )


@every_method()
def test_nothing_is_infinite_or_nan_on_the_way(method):
    """Also where JAX looks at every result."""
    params, (gradients, loss) = single(PARAMS["kernel"]), STEPS[0]
    with jax.debug_infs(True), jax.debug_nans(True):
        tx = method.build()
        params, state, _ = step(method, tx, params, tx.init(params), gradients["kernel"], loss)
        step(method, tx, params, state, gradients["kernel"], loss)


# Convergence.

VALLEYS = {"ravine": np.array([-1.0, 1.0]), "rosenbrock": np.array([-1.2, 1.0])}
MINIMA = {"ravine": np.array([2.0, -1.0]), "rosenbrock": np.array([1.0, 1.0])}


def valleys(params):
    """A quadratic a hundred times as steep across as along, and Rosenbrock's banana."""
    x, y = params["ravine"] - MINIMA["ravine"]
    u, v = params["rosenbrock"]
    return (x**2 + 100 * y**2) / 2 + (1 - u) ** 2 + 100 * (v - u**2) ** 2


@every_method(lambda method: method.converges_with is not None)
def test_converges_to_the_known_minimum(method):
    tx = method.factory(**method.converges_with)

    def body(carry, _):
        params, state = carry
        loss, gradients = jax.value_and_grad(valleys)(params)
        updates, state = tx.update(gradients, state, params, **method.extra_args(loss))
        return (optax.apply_updates(params, updates), state), None

    with x64(jnp.float64):
        params = jax.tree.map(jnp.asarray, VALLEYS)
        (params, _), _ = jax.jit(
            lambda: jax.lax.scan(body, (params, tx.init(params)), length=STEPS_TO_CONVERGE)
        )()
        chex.assert_trees_all_close(params, MINIMA, rtol=0, atol=1e-5)
