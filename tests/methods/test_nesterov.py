"""Nesterov's accelerated gradient: the parameters that the user holds are the look-ahead points y.

The oracle is the algorithm itself with its two points, w and y = w + μΔ. So each test takes the
gradient at the parameters, y, and asks nesterov_eval_params for w.
"""

import math

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from oracles.nesterov import nesterov as oracle
from trajectories import (
    PRECISIONS,
    STEPS,
    assert_close,
    displacements,
    random_gradients,
    x64,
)

import gdmethods


def halving(count):
    return 0.1 * 0.5 ** (count // 50)


def rising(count):
    return 0.9 - 0.4 / (1 + count)


def jumping(count):
    """A momentum that changes at every step, down as well as up."""
    return 0.05 + 0.9 * (count % 2 == 0)


RATE = 0.1
W = np.array([1.0, -2.0, 3.0])
CURVATURE = np.array([0.1, 1.0, 5.0])


def gradient(y, t):
    """Of a quadratic whose minimum wanders, so that steps stay large and no two are alike."""
    return CURVATURE * (y - np.sin(0.7 * t))


def follow(tx, steps, params=W):
    """The parameters before each update, and the weights for evaluation after it."""

    def step(carry, t):
        y, state = carry
        updates, state = tx.update(CURVATURE * (y - jnp.sin(0.7 * t)), state, y)
        following = optax.apply_updates(y, updates)
        w = gdmethods.nesterov_eval_params(state, following)
        return (following, state), (y, w)

    params = jnp.asarray(params)
    times = jnp.arange(1, steps + 1)
    return jax.jit(lambda: jax.lax.scan(step, (params, tx.init(params)), times)[1])()


OPTIONS = {
    "defaults": {"learning_rate": RATE},
    "low": {"learning_rate": RATE, "momentum": 0.3},
    "none": {"learning_rate": RATE, "momentum": 0.0},
    "scheduled rate": {"learning_rate": halving, "momentum": 0.95},
    "scheduled momentum": {"learning_rate": RATE, "momentum": rising},
    "jumping momentum": {"learning_rate": RATE, "momentum": jumping},
    "both scheduled": {"learning_rate": halving, "momentum": jumping},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_both_points_are_the_oracles(options, dtype, rtol):
    expected = oracle(gradient, W, STEPS, **options)
    with x64(dtype):
        actual = follow(gdmethods.nesterov(**options), STEPS, W.astype(dtype))
    for points, oracles in zip(actual, expected, strict=True):
        assert points.dtype == dtype
        np.testing.assert_allclose(points, np.stack(oracles), rtol=0, atol=rtol * np.abs(W).max())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    ("dtype", "rtol"),
    [(np.float64, 1e-12), (np.float32, 1e-5), (np.complex128, 1e-12), (np.complex64, 1e-5)],
    ids=["float64", "float32", "complex128", "complex64"],
)
def test_given_gradients_lead_where_the_oracle_goes(options, dtype, rtol):
    """From y₁ = 0 the updates add up to the look-ahead points."""

    def expected(gradients):
        gradients = gradients.astype(np.result_type(dtype, np.float64))
        gradients = np.append(gradients, gradients[:1], axis=0)  # y₂₀₁ is asked for, not g₂₀₁
        look_aheads, _ = oracle(
            lambda y, t: gradients[t - 1], np.zeros_like(gradients[0]), STEPS + 1, **options
        )
        return np.diff(np.stack(look_aheads), axis=0)

    gradients = random_gradients(dtype)["kernel"]
    with x64(dtype):
        updates = displacements(gdmethods.nesterov(**options), gradients)
        assert_close(updates, expected(gradients), rtol, cancels=True)


def test_equals_optax_at_constant_rate_and_momentum():
    gradients = random_gradients(np.float32)
    actual = displacements(gdmethods.nesterov(0.1, 0.9), gradients)
    expected = displacements(optax.sgd(0.1, momentum=0.9, nesterov=True), gradients)
    assert_close(actual, expected, 1e-5, cancels=True)


def test_differs_from_optax_once_the_rate_drops():
    """Then Optax shrinks the whole displacement, and here only the new gradient's share.

    The rate falls from 0.1 to 0.001 for step 3, and every gradient is 1:
    Δ₁ = −0.1, Δ₂ = −0.19, Δ₃ = 0.9 Δ₂ − 0.001 = −0.172, u₃ = −0.001 + 0.9 Δ₃ = −0.1558.
    """

    def rate(count):
        return jnp.where(count < 2, 0.1, 0.001)

    ours = displacements(gdmethods.nesterov(rate, 0.9), jnp.ones(3))
    optaxs = displacements(optax.sgd(rate, momentum=0.9, nesterov=True), jnp.ones(3))
    np.testing.assert_allclose(ours, [-0.19, -0.271, -0.1558], rtol=1e-6)
    np.testing.assert_allclose(optaxs[:2], ours[:2], rtol=1e-6)
    np.testing.assert_allclose(optaxs[2], 0.01 * -0.3439, rtol=1e-6)


@pytest.mark.parametrize("mu", [0.5, 0.9, 0.99])
def test_theorem_2_1(mu):
    """On a quadratic of curvature λ, nesterov with μ is momentum with μ(1 − ηλ).

    The gradient at the look-ahead is λ(w + μΔ), so that
    Δ' = μΔ − ηλ(w + μΔ) = μ(1 − ηλ)Δ − ηλw,
    which is the step of classical momentum with μ(1 − ηλ) and the gradient λw at w.
    """
    eta, w = 0.1, 1.0

    def weights(tx, curvature):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(curvature * params, state, params)
            params = params + updates
            if isinstance(state, gdmethods.NesterovState):
                return (params, state), gdmethods.nesterov_eval_params(state, params)
            return (params, state), params

        start = jnp.asarray(w)
        return jax.lax.scan(step, (start, tx.init(start)), length=100)[1]

    with x64(np.float64):
        curvatures = jnp.array([0.01, 0.1, 1.0, 5.0])
        accelerated = jax.vmap(lambda λ: weights(gdmethods.nesterov(eta, mu), λ))(curvatures)
        classical = jax.vmap(lambda λ: weights(gdmethods.momentum(eta, mu * (1 - eta * λ)), λ))(
            curvatures
        )
    np.testing.assert_allclose(accelerated, classical, rtol=0, atol=1e-13)
    assert np.ptp(classical) > 0.5


TREE = {"kernel": W, "bias": np.array([0.5, -0.5])}


def tree_gradient(y, t):
    return jax.tree.map(lambda y: 0.8 * (y - jnp.sin(0.7 * t)), y)


def tree_oracle(params, steps, learning_rate, momentum):
    """The weights after each step, for one array of the tree."""
    return oracle(
        lambda y, t: 0.8 * (y - np.sin(0.7 * t)), params, steps, learning_rate, momentum
    )[1]


def tree_weights(tx, steps, params=TREE, gradients=tree_gradient):
    """The weights for evaluation after each step of a transformation that wraps nesterov."""
    params = jax.tree.map(jnp.asarray, params)

    def step(carry, t):
        y, state = carry
        updates, state = tx.update(gradients(y, t), state, y)
        y = optax.apply_updates(y, updates)
        return (y, state), gdmethods.nesterov_eval_params(state, y)

    return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(1, steps + 1))[1]


def assert_weights(actual, expected):
    np.testing.assert_allclose(actual, np.stack(expected), rtol=0, atol=1e-12)


class TestEvalParamsInside:
    """Exact for changing η and μ wherever the state lies."""

    def test_chain(self):
        tx = optax.chain(
            optax.clip_by_global_norm(1e6), gdmethods.nesterov(halving, jumping), optax.identity()
        )
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        for name, params in TREE.items():
            assert_weights(weights[name], tree_oracle(params, 60, halving, jumping))

    def test_chain_of_cores(self):
        tx = optax.chain(
            optax.scale_by_learning_rate(halving), gdmethods.nesterov_velocity(jumping)
        )
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        for name, params in TREE.items():
            assert_weights(weights[name], tree_oracle(params, 60, halving, jumping))

    def test_partition(self):
        """Beside another method, whose parameters come back as they are."""
        tx = optax.partition(
            {"fast": gdmethods.nesterov(halving, jumping), "slow": gdmethods.sgd(RATE)},
            {"kernel": "fast", "bias": "slow"},
        )
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        assert_weights(weights["kernel"], tree_oracle(TREE["kernel"], 60, halving, jumping))
        assert_weights(weights["bias"], tree_oracle(TREE["bias"], 60, RATE, 0.0))

    def test_partition_into_two_nesterovs(self):
        tx = optax.partition(
            {"a": gdmethods.nesterov(halving, jumping), "b": gdmethods.nesterov(RATE, rising)},
            {"kernel": "a", "bias": "b"},
        )
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        assert_weights(weights["kernel"], tree_oracle(TREE["kernel"], 60, halving, jumping))
        assert_weights(weights["bias"], tree_oracle(TREE["bias"], 60, RATE, rising))

    def test_inject_hyperparams(self):
        """The momentum present at update t builds the look-ahead that step t + 1 starts from.

        So the schedule that inject_hyperparams reads at count t − 1 is μ_{t+1}, and μ_t of the
        oracle is the value one count earlier. (Of μ₁ nothing depends: Δ₀ = 0.)
        """
        tx = optax.inject_hyperparams(gdmethods.nesterov)(learning_rate=halving, momentum=jumping)
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        for name, params in TREE.items():
            expected = tree_oracle(params, 60, halving, lambda count: jumping(count - 1))
            assert_weights(weights[name], expected)

    def test_inject_hyperparams_by_hand(self):
        """A momentum written into the state between two updates."""
        tx = optax.inject_hyperparams(gdmethods.nesterov)(learning_rate=RATE, momentum=0.5)
        momenta = [0.5, 0.9, 0.2, 0.99, 0.99, 0.0, 0.7, 0.8]
        with x64(np.float64):
            y = jnp.asarray(W)
            state = tx.init(y)
            weights = []
            for t, mu in enumerate(momenta, 1):
                state.hyperparams["momentum"] = jnp.asarray(mu)
                updates, state = tx.update(gradient(y, t), state, y)
                y = y + updates
                weights.append(gdmethods.nesterov_eval_params(state, y))
        _, expected = oracle(gradient, W, 8, RATE, lambda count: momenta[max(count - 1, 0)])
        assert_weights(weights, expected)

    def test_inject_hyperparams_by_name(self):
        """Rate and momentum set in the state by Optax's own means, which finds each once."""
        tx = optax.chain(optax.inject_hyperparams(gdmethods.nesterov)(RATE, momentum=0.5))
        rates = [0.1, 0.1, 0.02, 0.3, 0.3, 0.05]
        momenta = [0.5, 0.9, 0.2, 0.99, 0.0, 0.7]
        with x64(np.float64):
            y = jnp.asarray(W)
            state = tx.init(y)
            weights = []
            for t, (rate, mu) in enumerate(zip(rates, momenta, strict=True), 1):
                new = {"learning_rate": jnp.asarray(rate), "momentum": jnp.asarray(mu)}
                state = optax.tree.set(state, **new)
                assert {name: optax.tree.get(state, name) for name in new} == new
                updates, state = tx.update(gradient(y, t), state, y)
                y = y + updates
                weights.append(gdmethods.nesterov_eval_params(state, y))
        _, expected = oracle(
            gradient, W, 6, rates.__getitem__, lambda count: momenta[max(count - 1, 0)]
        )
        assert_weights(weights, expected)

    def test_multi_steps(self):
        """Three gradients a step, at one look-ahead point; the weights wait meanwhile."""

        def thirds(y, t):
            """Three parts whose mean is the gradient of the whole."""
            whole, part = (t - 1) // 3 + 1, (t - 1) % 3
            return jax.tree.map(lambda g: g * (0.5 + 0.5 * part), tree_gradient(y, whole))

        with x64(np.float64):
            tx = optax.MultiSteps(
                gdmethods.nesterov(halving, jumping), 3, accumulator_dtype=np.float64
            )
            weights = tree_weights(tx, 60, gradients=thirds)
        for name, params in TREE.items():
            after = np.stack(tree_oracle(params, 20, halving, jumping))
            before = np.concatenate([params[None], after[:-1]])
            np.testing.assert_allclose(weights[name][2::3], after, rtol=0, atol=1e-12)
            np.testing.assert_allclose(weights[name][0::3], before, rtol=0, atol=1e-12)
            np.testing.assert_allclose(weights[name][1::3], before, rtol=0, atol=1e-12)

    def test_masked(self):
        """What the mask leaves out has no look-ahead: its weights are its parameters."""
        tx = optax.chain(
            optax.masked(gdmethods.nesterov(halving, jumping), {"kernel": True, "bias": False}),
            optax.masked(optax.set_to_zero(), {"kernel": False, "bias": True}),
        )
        with x64(np.float64):
            weights = tree_weights(tx, 60)
        assert_weights(weights["kernel"], tree_oracle(TREE["kernel"], 60, halving, jumping))
        assert_weights(weights["bias"], [TREE["bias"]] * 60)

    def test_apply_if_finite(self):
        """A step that is refused leaves the look-ahead, and so the weights, where they are."""
        tx = optax.apply_if_finite(gdmethods.nesterov(halving, jumping), 5)

        def every_third_breaks(y, t):
            """Steps 3, 6, … have no gradient; the others count on without a gap."""
            return jax.tree.map(
                lambda g: jnp.where(t % 3 == 0, jnp.nan, g), tree_gradient(y, t - t // 3)
            )

        with x64(np.float64):
            weights = tree_weights(tx, 60, gradients=every_third_breaks)
        taken = np.arange(1, 61) % 3 != 0
        for name, params in TREE.items():
            expected = np.stack(tree_oracle(params, 40, halving, jumping))
            np.testing.assert_allclose(weights[name][taken], expected, rtol=0, atol=1e-12)
            np.testing.assert_allclose(weights[name][2::3], expected[1::2], rtol=0, atol=1e-12)

    def test_flatten(self):
        """One velocity for all parameters."""
        tx = optax.chain(optax.flatten(gdmethods.nesterov(halving, jumping)))
        params = TREE | {"matrix": np.arange(6.0).reshape(2, 3), "scalar": np.array(2.0)}
        with x64(np.float64):
            weights = tree_weights(tx, 60, params)
            alone = tree_weights(tx, 60, params["matrix"])
        for name, start in params.items():
            assert_weights(weights[name], tree_oracle(start, 60, halving, jumping))
        assert_weights(alone, tree_oracle(params["matrix"], 60, halving, jumping))

    def test_flatten_of_several_dtypes(self):
        params = {"narrow": jnp.ones(3, jnp.bfloat16), "wide": jnp.ones((2, 2), jnp.float32)}
        tx = optax.flatten(gdmethods.nesterov(RATE, 0.5))
        updates, state = tx.update(params, tx.init(params), params)
        weights = gdmethods.nesterov_eval_params(state, optax.apply_updates(params, updates))
        assert {name: w.dtype for name, w in weights.items()} == {
            "narrow": jnp.bfloat16,
            "wide": jnp.float32,
        }
        np.testing.assert_allclose(weights["narrow"].astype(np.float32), 0.9, rtol=1e-2)
        np.testing.assert_allclose(weights["wide"], 0.9, rtol=1e-6)

    def test_flatten_of_a_part(self):
        """The state does not tell which part, so that the user has to."""
        tx = optax.masked(optax.flatten(gdmethods.nesterov(RATE)), {"kernel": True, "bias": False})
        with x64(np.float64):
            updates, state = tx.update(TREE, tx.init(TREE), TREE)
            y = optax.apply_updates(TREE, updates)
            weights = gdmethods.nesterov_eval_params(state, {"kernel": y["kernel"]})
            np.testing.assert_allclose(weights["kernel"], 0.9 * TREE["kernel"], rtol=1e-12)
            with pytest.raises(ValueError, match=r"\(3,\).*optax.flatten was given only a part"):
                gdmethods.nesterov_eval_params(state, y)

    @pytest.mark.parametrize(
        "wrap",
        [
            optax.contrib.split_real_and_imaginary,
            lambda tx: optax.flatten(optax.contrib.split_real_and_imaginary(tx)),
        ],
        ids=["alone", "under flatten"],
    )
    def test_split_real_and_imaginary(self, wrap):
        params = {"kernel": W + 1j * W[::-1], "bias": np.array([0.5j, -0.5])}
        with x64(np.float64):
            weights = tree_weights(wrap(gdmethods.nesterov(halving, jumping)), 60, params)
        for name, start in params.items():
            assert_weights(weights[name], tree_oracle(start, 60, halving, jumping))


class TestEvalParamsOfAnEnsemble:
    """Each member trained by the oracle alone, with a momentum of its own."""

    @staticmethod
    def weights(momenta, params, wrap=lambda tx: tx):
        """Of members that jax.vmap trains for 8 steps, along all axes of the momenta."""

        def train(momentum, y):
            tx = wrap(gdmethods.nesterov(RATE, momentum))

            def step(carry, t):
                state, y = carry
                updates, state = tx.update(tree_gradient(y, t), state, y)
                return (state, optax.apply_updates(y, updates)), None

            return jax.lax.scan(step, (tx.init(y), y), jnp.arange(1, 9))[0]

        for _ in momenta.shape:
            train = jax.vmap(train)
        return gdmethods.nesterov_eval_params(*jax.jit(train)(momenta, params))

    @pytest.mark.parametrize(
        "wrap",
        [lambda tx: tx, optax.flatten, optax.contrib.split_real_and_imaginary],
        ids=["alone", "flatten", "split"],
    )
    @pytest.mark.proof
    @pytest.mark.parametrize("members", [(3,), (2, 3)], ids=["of one axis", "of two"])
    def test_follows_its_members(self, members, wrap):
        """Also where a parameter's last axis is as long as that of the members."""
        momenta = np.linspace(0.1, 0.95, math.prod(members)).reshape(members)
        rng = np.random.default_rng(0)
        params = {
            "vector": rng.normal(size=(*members, 3)),
            "matrix": rng.normal(size=(*members, 2, 3)),
            "scalar": rng.normal(size=members),
        }
        if wrap is optax.contrib.split_real_and_imaginary:
            params["complex"] = params["vector"] + 1j * params["vector"][..., ::-1]
        with x64(np.float64):
            weights = self.weights(momenta, params, wrap)
        for name, start in params.items():
            for member in np.ndindex(members):
                expected = tree_oracle(start[member], 8, RATE, momenta[member])[-1]
                np.testing.assert_allclose(weights[name][member], expected, rtol=0, atol=1e-12)

    def test_of_one_array(self):
        momenta = np.array([0.1, 0.5, 0.9])
        with x64(np.float64):
            weights = self.weights(momenta, W)
        expected = [tree_oracle(w, 8, RATE, mu)[-1] for w, mu in zip(W, momenta, strict=True)]
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-12)

    def test_along_other_axes_is_refused(self):
        params = {"kernel": jnp.ones((4, 2))}
        state = jax.vmap(gdmethods.nesterov(RATE).init, in_axes=-1, out_axes=-1)(params)
        with pytest.raises(ValueError, match=r"\(2,\).*\(4, 2\).*jax.vmap"):
            gdmethods.nesterov_eval_params(state, params)


class TestEvalParamsInFlax:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda tx: tx,
            optax.flatten,
            lambda tx: optax.flatten(optax.contrib.split_real_and_imaginary(tx)),
        ],
        ids=["alone", "flatten", "flatten and split"],
    )
    def test_an_nnx_optimizer(self, wrap):
        """The state as it is, in the variables that NNX wraps around its arrays.

        Split alone is not among them: NNX turns the pairs to dictionaries, and the next update
        fails, of Optax's methods as well.
        """

        class Model(nnx.Module):
            def __init__(self):
                self.kernel = nnx.Param(jnp.ones((2, 3), jnp.complex64))
                self.bias = nnx.Param(jnp.full(3, 2.0, jnp.complex64))

        model = Model()
        optimizer = nnx.Optimizer(model, wrap(gdmethods.nesterov(RATE)), wrt=nnx.Param)
        optimizer.update(model, nnx.state(model, nnx.Param))
        weights = gdmethods.nesterov_eval_params(optimizer.opt_state, nnx.state(model, nnx.Param))
        np.testing.assert_allclose(weights["kernel"][...], 0.9, rtol=1e-6)
        np.testing.assert_allclose(weights["bias"][...], 1.8, rtol=1e-6)

    def test_a_model_in_place_of_its_parameters(self):
        tx = gdmethods.nesterov(RATE)
        model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        linen = flax.linen.Dense(2)
        variables = linen.init(jax.random.key(0), jnp.ones(3))
        train_state = TrainState.create(apply_fn=linen.apply, params=variables["params"], tx=tx)
        for opt_state, instead in [
            (optimizer.opt_state, model),
            (optimizer.opt_state, optimizer),
            (train_state.opt_state, linen),
            (train_state.opt_state, train_state),
            (train_state.opt_state, variables),
        ]:
            words = r"Pass the parameters .* nnx.state\(model, nnx.Param\) or state.params"
            with pytest.raises(ValueError, match=words):
                gdmethods.nesterov_eval_params(opt_state, instead)


def test_eval_params_keep_the_precision_of_the_parameters():
    y = jnp.array(1.2345678)
    state = gdmethods.nesterov(RATE, accumulator_dtype=jnp.bfloat16).init(y)
    assert gdmethods.nesterov_eval_params(state, y) == y


def test_eval_params_before_the_first_update_are_the_parameters():
    state = gdmethods.nesterov(RATE).init(TREE)
    weights = gdmethods.nesterov_eval_params(state, TREE)
    jax.tree.map(np.testing.assert_array_equal, weights, jax.tree.map(jnp.asarray, TREE))


def test_eval_params_have_the_dtype_of_the_parameters():
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2), "none": None}
    tx = gdmethods.nesterov(0.1)
    updates, state = tx.update(params, tx.init(params), params)
    weights = gdmethods.nesterov_eval_params(state, optax.apply_updates(params, updates))
    assert weights["a"].dtype == jnp.bfloat16
    assert weights["none"] is None
    np.testing.assert_allclose(weights["b"], 0.9, rtol=1e-6)


@pytest.mark.parametrize("other", [gdmethods.momentum(0.1), optax.adam(0.1), optax.identity()])
def test_eval_params_without_nesterov(other):
    with pytest.raises(ValueError, match="NesterovState"):
        gdmethods.nesterov_eval_params(other.init(TREE), TREE)
