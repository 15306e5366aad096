"""Rules of users: five that Optax has too, one that nobody has, and what is said of mistakes."""

import inspect
from typing import Annotated, Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from trajectories import x64

import gdmethods
from gdmethods.rules import (
    Count,
    Decay,
    Momentum,
    NonNegative,
    Number,
    Positive,
    Rate,
    Scalar,
    Sign,
    Signed,
    Square,
    core,
    decayed,
    one_minus_power,
    optimizer,
    positive,
    rule_of,
    sign,
    squarable,
    square,
)

GRADIENTS = np.random.default_rng(0).normal(size=(50, 6, 4))
W = {"w": np.linspace(-1, 1, 24).reshape(6, 4)}


class MomentState(NamedTuple):
    count: Count
    mu: Signed


class MomentsState(NamedTuple):
    count: Count
    mu: Signed
    nu: Square


class NormState(NamedTuple):
    count: Count
    mu: Signed
    u: Positive


@optimizer(MomentState)
def lion(g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.99, *, accumulator_dtype=None):
    """The sign of a mean."""
    direction = sign(b1 * s.mu + (1 - b1) * g)
    s.mu = b2 * s.mu + (1 - b2) * g
    return -learning_rate * direction


@optimizer(MomentsState, eight_bits=["mu", "nu"])
def nadam(
    g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.999, *, accumulator_dtype=None
):
    g = squarable(g, s.nu)
    s.nu = b2 * s.nu + (1 - b2) * square(g)
    s.mu = b1 * s.mu + (1 - b1) * g
    ahead = b1 * s.mu / one_minus_power(b1, s.count + 1) + (1 - b1) * g / (1 - b1**s.count)
    return (
        -learning_rate * ahead / (jnp.sqrt(positive(s.nu) / one_minus_power(b2, s.count)) + 1e-8)
    )


@optimizer(NormState)
def adamax(
    g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.999, *, accumulator_dtype=None
):
    s.mu = b1 * s.mu + (1 - b1) * g
    s.u = jnp.maximum(b2 * s.u, jnp.abs(g) + 1e-8)
    return -learning_rate / one_minus_power(b1, s.count) * s.mu / s.u


@optimizer(MomentsState, eight_bits=["nu"], starts={"mu": 1e-6, "nu": 1e-6})
def yogi(g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.999, *, accumulator_dtype=None):
    s.nu = s.nu - (1 - b2) * sign(s.nu - square(g)) * square(g)
    s.mu = b1 * s.mu + (1 - b1) * g
    unbiased = s.mu / one_minus_power(b1, s.count)
    return -learning_rate * unbiased / (jnp.sqrt(s.nu / one_minus_power(b2, s.count)) + 1e-3)


@optimizer(MomentsState, eight_bits=["nu"])
def adabelief(
    g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.999, *, accumulator_dtype=None
):
    s.mu = b1 * s.mu + (1 - b1) * g
    s.nu = b2 * s.nu + (1 - b2) * square(g - s.mu) + 1e-16
    unbiased = s.mu / one_minus_power(b1, s.count)
    return -learning_rate * unbiased / (jnp.sqrt(s.nu / one_minus_power(b2, s.count)) + 1e-16)


RULES = {
    "lion": (lion, lambda rate: optax.lion(rate, weight_decay=0.0)),
    "nadam": (nadam, optax.nadam),
    "adamax": (adamax, optax.adamax),
    "yogi": (yogi, optax.yogi),
    "adabelief": (adabelief, optax.adabelief),
}


def weights_after(tx, gradients=GRADIENTS, dtype=jnp.float32, **extra_args):
    """The weights and the state after all gradients, in one compiled loop."""
    params = jax.tree.map(lambda w: jnp.asarray(w, dtype), W)

    def step(carry, g):
        params, state = carry
        updates, state = tx.update({"w": g.astype(dtype)}, state, params, **extra_args)
        return (optax.apply_updates(params, updates), state), None

    start = params, tx.init(params)
    return jax.jit(lambda start: jax.lax.scan(step, start, jnp.asarray(gradients))[0])(start)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_that_of_optax(name):
    ours, theirs = RULES[name]
    rate = optax.linear_schedule(1e-2, 1e-3, 50)
    with x64(np.float64):
        expected, _ = weights_after(theirs(rate), dtype=jnp.float64)
        actual, _ = weights_after(ours(rate), dtype=jnp.float64)
        np.testing.assert_allclose(actual["w"], expected["w"], rtol=1e-9)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("stored", [jnp.bfloat16, "8bit"])
def test_a_rule_in_narrow_state_follows_the_wide_one(name, stored):
    rule, _ = RULES[name]
    wide, _ = weights_after(rule(1e-2))
    narrow, state = weights_after(rule(1e-2, accumulator_dtype=stored))
    coded = {"nadam": 2, "yogi": 1, "adabelief": 1}.get(name, 0) if stored == "8bit" else 0
    assert [x.dtype for x in jax.tree.leaves(state)].count(jnp.uint8) == coded
    assert all(x.dtype.itemsize < 4 for x in jax.tree.leaves(state) if x.shape)
    moved = np.abs(wide["w"] - W["w"]).mean()
    assert np.abs(narrow["w"] - wide["w"]).mean() < 0.4 * moved


class OwnState(NamedTuple):
    count: Count
    velocity: Signed | None
    gain: Positive
    sign: Sign
    lowest: Number


def _compared(s, value):
    s.improved = value < s.lowest
    s.lowest = jnp.minimum(value, s.lowest)


def _own_starts(momentum: Any, first_gain: Any):
    return {
        "velocity": 0.0 if momentum else None,
        "gain": first_gain,
        "lowest": 100.0,
    }


@optimizer(OwnState, starts=_own_starts, once=_compared, weights=True)
def own(
    g,
    s,
    learning_rate: Rate,
    momentum: Momentum = 0.5,
    *,
    first_gain: Annotated[Scalar, "(0, inf)"] = 2.0,
    toward: Literal["zero", "one"] = "zero",
    pull: NonNegative = 0.01,
    mask: Any = None,
):
    """A rule that nobody has: gains that grow while the loss falls, and a pull towards a point."""
    factor = jnp.where(s.improved, 1.1, 0.9)
    s.gain = jnp.where(sign(g) * s.sign > 0, s.gain * factor, s.gain)
    s.velocity = momentum * s.velocity - learning_rate * s.gain * g
    s.sign = sign(g)
    return s.velocity - pull * (s.w - (1.0 if toward == "one" else 0.0))


@pytest.mark.parametrize("momentum", [0.5, 0.0])
def test_a_rule_that_nobody_has(momentum):
    losses = np.abs(np.random.default_rng(1).normal(size=50))
    w, d, gain = W["w"].copy(), 0.0, np.full((6, 4), 3.0)
    before, lowest = 0.0, 100.0
    for g, loss in zip(GRADIENTS, losses, strict=True):
        factor = 1.1 if loss < lowest else 0.9
        lowest = min(loss, lowest)
        gain = np.where(np.sign(g) * before > 0, gain * factor, gain)
        d = momentum * d - 0.01 * gain * g
        before = np.sign(g)
        w = w + d - 0.02 * (w - 1.0)
    with x64(np.float64):
        tx = own(0.01, momentum, first_gain=3.0, toward="one", pull=0.02)
        params = jax.tree.map(jnp.asarray, W)
        state, update = tx.init(params), jax.jit(tx.update)
        for g, loss in zip(GRADIENTS, losses, strict=True):
            updates, state = update({"w": jnp.asarray(g)}, state, params, value=loss)
            params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["w"], w, rtol=1e-13)
        assert (state.velocity is None) == (momentum == 0.0)
        assert float(state.lowest) == lowest


def test_what_the_mask_leaves_out_reads_as_zero():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    tx = own(0.0, mask={"a": True, "b": False})
    updates, _ = tx.update(params, tx.init(params), params, value=1.0)
    assert float(updates["a"][0]) == pytest.approx(-0.01)
    assert float(updates["b"][0]) == 0.0


def test_help_shows_what_the_user_wrote():
    assert lion.__doc__ == "The sign of a mean."
    assert lion.__module__ == __name__
    assert str(inspect.signature(own).replace(return_annotation=inspect.Signature.empty)) == (
        "(learning_rate: number or schedule in [0, inf), momentum: number or schedule in [0, 1] = "
        "0.5, *, first_gain: number in (0, inf) = 2.0, toward: Literal['zero', 'one'] = 'zero', "
        "pull: number in [0, inf) = 0.01, mask: Any = None)"
    )


class TestACitizen:
    """What is true of the states of gdmethods is true of one that is declared elsewhere."""

    def run(self, stored=None):
        tx = nadam(1e-2, accumulator_dtype=stored)
        return tx, *weights_after(tx)

    def test_it_is_read(self):
        _, _, state = self.run("8bit")
        read, (_, _, wide) = gdmethods.read_state(state), self.run()
        assert state.nu["w"].dtype == jnp.uint8
        ratio = np.asarray(read.nu["w"] / wide.nu["w"])
        assert ratio.min() > 0.3
        assert ratio.max() < 3
        assert np.abs(ratio.mean() - 1) < 0.2

    def test_it_is_converted(self):
        tx, w, state = self.run()
        narrow = nadam(1e-2, accumulator_dtype="8bit")
        converted = gdmethods.convert_state(narrow, w, state)
        assert converted.mu["w"].dtype == jnp.uint8
        back = gdmethods.convert_state(tx, w, converted)
        np.testing.assert_allclose(back.nu["w"], state.nu["w"], rtol=0.3)
        np.testing.assert_allclose(back.mu["w"], state.mu["w"], rtol=0.3, atol=1e-3)

    def test_its_ranges_are_watched(self):
        _, _, state = self.run("8bit")
        ranges = gdmethods.state_ranges(state)
        assert float(ranges.nu["w"].floor) == 0.0
        assert ranges.count is None

    def test_its_bytes_are_counted(self):
        w = {"w": jax.ShapeDtypeStruct((2**20,), jnp.bfloat16)}
        assert gdmethods.state_bytes(nadam(1.0, accumulator_dtype="8bit"), w) == 2 * 2**20 + 4
        assert gdmethods.step_bytes(lion(1e-2), w).least == (3 * 2 + 2 * 4) * 2**20

    def test_it_is_exported(self):
        tx, w, state = self.run()
        exported = jax.export.export(jax.jit(tx.update))(w, state, w)
        again = jax.export.deserialize(exported.serialize())
        updates, new = again.call(w, state, w)
        assert type(new) is MomentsState
        expected, _ = tx.update(w, state, w)
        np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-5)

    def test_it_is_saved_and_restored(self, tmp_path):
        tx, w, state = self.run("8bit")
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "state", state)
            checkpointer.wait_until_finished()
            restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(tx.init, w))
        assert type(restored) is MomentsState
        chex.assert_trees_all_equal(restored, state)

    def test_it_is_wrapped_injected_and_accumulated(self):
        expected, _ = weights_after(lion(1e-2))
        injected, _ = weights_after(optax.inject_hyperparams(lion)(learning_rate=1e-2))
        np.testing.assert_allclose(injected["w"], expected["w"], atol=1e-6)
        twice = np.repeat(GRADIENTS[:25], 2, axis=0)
        halves, _ = weights_after(optax.MultiSteps(lion(1e-2), 2).gradient_transformation(), twice)
        whole, _ = weights_after(lion(1e-2), GRADIENTS[:25])
        np.testing.assert_allclose(halves["w"], whole["w"], atol=1e-6)
        for wrap in (gdmethods.with_float32_master, gdmethods.with_stochastic_rounding):
            narrow, _ = weights_after(wrap(lion(1e-2)), dtype=jnp.bfloat16)
            assert narrow["w"].dtype == jnp.bfloat16
            assert np.abs(narrow["w"].astype(np.float32) - expected["w"]).max() < 0.05

    def test_another_configuration_is_refused(self):
        _, w, state = self.run()
        with pytest.raises(TypeError, match="convert_state"):
            nadam(1e-2, accumulator_dtype="8bit").update(w, state, w)
        with pytest.raises(TypeError, match=r"MomentsState\(count, mu, nu\).*MomentState"):
            lion(1e-2).update(w, state, w)


@pytest.mark.proof
@pytest.mark.parametrize("name", [*RULES, "lionw"])
@pytest.mark.parametrize("stored", [None, jnp.bfloat16, "8bit"])
def test_the_laws_hold(name, stored):
    make = decayed(lion) if name == "lionw" else RULES[name][0]
    allow = {}
    if name == "yogi":
        allow = dict.fromkeys(["sign_symmetry", "zero_gradient"], "its mean starts from 1e-6")
    if name == "lionw":
        allow = {"zero_gradient": "weight decay moves every weight"}
    if name in ("lion", "lionw") and stored is not None:
        allow["rounds_stochastically"] = "a sign hides it"
    options = {} if stored is None else {"reference": lambda: make(0.1)}
    gdmethods.testing.assert_contract(
        lambda: make(0.1, accumulator_dtype=stored),
        claims=[] if stored is None else ["rounds_stochastically"],
        allow=allow or None,
        **options,
    )


class TestAroundARule:
    def test_core(self):
        scale_by_lion = core(lion)
        assert scale_by_lion.__name__ == "scale_by_lion"
        assert list(inspect.signature(scale_by_lion).parameters) == [
            "b1",
            "b2",
            "accumulator_dtype",
        ]
        chained, _ = weights_after(optax.chain(scale_by_lion(), optax.scale(-1e-2)))
        np.testing.assert_array_equal(chained["w"], weights_after(lion(1e-2))[0]["w"])
        with pytest.raises(TypeError, match="scale_by_lion has no option 'learning_rate'"):
            scale_by_lion(learning_rate=1.0)

    def test_decay(self):
        lionw = decayed(lion, 0.1)
        assert list(inspect.signature(lionw).parameters) == [
            "learning_rate", "b1", "b2", "weight_decay", "mask", "accumulator_dtype",
        ]  # fmt: skip
        expected, _ = weights_after(optax.lion(1e-2, weight_decay=0.1))
        np.testing.assert_allclose(weights_after(lionw(1e-2))[0]["w"], expected["w"], atol=1e-6)
        without, _ = weights_after(lionw(1e-2, weight_decay=None))
        np.testing.assert_array_equal(without["w"], weights_after(lion(1e-2))[0]["w"])
        with pytest.raises(TypeError, match="reads the weights"):
            decayed(own)

    def test_a_schedule_is_called_once_an_update(self):
        calls = []

        def schedule(count):
            calls.append(count)
            return 0.1

        rated = (lion, decayed(lion), own, gdmethods.adamw, gdmethods.rmsprop)
        looking_ahead = (gdmethods.momentum(0.1, schedule), gdmethods.nesterov(0.1, schedule))
        for tx in (*(make(schedule) for make in rated), *looking_ahead):
            params = {"w": jnp.ones(2)}
            state = tx.init(params)
            calls.clear()
            tx.update(params, state, params, value=1.0)
            assert len(calls) == 1

    def test_a_rule_around_another_does_not_show_it_the_weights(self):
        @optimizer(MomentState)
        def inner(g, s, learning_rate: Rate):
            s.mu = g
            return -learning_rate * s.w

        @optimizer(MomentState, weights=True)
        def outer(g, s, learning_rate: Rate):
            return rule_of(inner)(g, s, learning_rate) - s.w

        with pytest.raises(AttributeError, match="weights=True"):
            step(outer(1.0))


def step(tx, params=None, **extra_args):
    params = jnp.ones(3) if params is None else params
    return tx.update(params, tx.init(params), params, **extra_args)


def made(rule, state_type=MomentsState, **options):
    """The first step of a rule without hyperparameters."""
    return lambda: step(optimizer(state_type, **options)(rule)())


def _reads_unknown(g, s):
    return g * s.m


def _stores_unknown(g, s):
    s.m = g
    return g


def _forgets(g, s):
    s.mu = g
    return g


def _stores_twice(g, s):
    s.mu = s.nu = g
    s.mu = 2 * g
    return g


def _returns_a_pair(g, s):
    s.mu = s.nu = g
    return g, s.mu


def _returns_a_sum(g, s):
    s.mu = s.nu = g
    return jnp.sum(g)


def _stores_a_number(g, s):
    s.mu = 0.0
    return g


def _stores_the_count(g, s):
    s.count = 2
    return g


def _stores_both(g, s):
    s.mu = s.nu = g
    return g


def _undeclared(g, s, rate):
    return g


def _named_as_a_field(g, s, mu: Decay = 0.9):
    return g


def _unnamed(nu):
    return {}


def _needs_a_loss(s, loss):
    s.loss = loss


def _renews_a_slot(s):
    s.mu = 0.0


def _computes_many(s):
    s.both = jnp.ones(2)


class NoCount(NamedTuple):
    mu: Signed


class NoKind(NamedTuple):
    count: Count
    trace: jax.Array


MISTAKES = {
    "reads a slot that the state lacks": (
        made(_reads_unknown), AttributeError, "no field 'm'.*mu, nu, count"),
    "stores a slot that the state lacks": (
        made(_stores_unknown), AttributeError, "no field 'm'.*mu, nu, count"),
    "never stores a slot": (made(_forgets), AttributeError, "never stores s.nu.*s.nu = …"),
    "stores a slot twice": (made(_stores_twice), AttributeError, "s.mu is stored twice"),
    "returns a tuple": (made(_returns_a_pair), TypeError, "returned a tuple"),
    "returns another shape": (made(_returns_a_sum), ValueError, r"shape \(\).*gradient of shape"),
    "stores a number": (made(_stores_a_number), TypeError, "s.mu was given 0.0.*full_like"),
    "stores the count": (made(_stores_the_count), AttributeError, "s.count is the same for all"),
    "keeps no count": (made(_forgets, NoCount), TypeError, "NoCount does not count"),
    "keeps a field of no kind": (
        made(_forgets, NoKind), TypeError, "trace of NoKind is declared as .*Signed, Positive"),
    "is no NamedTuple": (made(_forgets, dict), TypeError, "class dict.NamedTuple"),
    "does not declare a hyperparameter": (
        made(_undeclared), TypeError, "rate of _undeclared needs an annotation of its values"),
    "has a hyperparameter named as a field": (
        made(_named_as_a_field), TypeError, "'mu' is a field of MomentsState and a hyperp"),
    "asks for an unknown hyperparameter": (
        made(_stores_both, starts=_unnamed), TypeError, "parameter 'nu'.*no hyperparameter"),
    "starts a field that there is not": (
        made(_stores_both, starts={"m": 1.0}), TypeError, "MomentsState has no field"),
    "has 8 bits for an unknown slot": (
        made(_stores_both, eight_bits=["m"]), TypeError, "eight_bits names 'm'"),
    "has 8 bits beside no square": (
        made(_stores_both, eight_bits=["mu"]), TypeError, "'mu'.*Name a Square too"),
    "has 8 bits for a positive slot": (
        made(_stores_both, NormState, eight_bits=["u"]), TypeError, "Square or Signed"),
    "needs an argument of update": (
        made(_stores_both, once=_needs_a_loss), ValueError, "needs 'loss'.*loss=…"),
    "renews a slot once a step": (
        made(_stores_both, once=_renews_a_slot), AttributeError, "the rule stores it"),
    "computes an array once a step": (
        made(_stores_both, once=_computes_many), ValueError, "one number for all"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_the_words_of_the_user(mistake):
    make, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        make()


class RateLast(NamedTuple):
    count: Count
    mu: Signed = 1.0


class Renewed(NamedTuple):
    count: Count
    value: Number


class OfWeights(NamedTuple):
    count: Count
    w: Signed


@optimizer(MomentState)
def rate_last(g, s, b1: Decay = 0.9, learning_rate: Rate = 0.1):
    s.mu = g
    return g


def _returns_numbers(s):
    return {"c": 1.0}


def _asks_wrongly(s, beta):
    s.c = beta


def _without_a_state(b1):
    pass


CALLS = {
    "a rule of a gradient alone": (lambda: made(lambda g: g)(), r"function \(g, s, …\)"),
    "a rule whose state is a rate": (
        lambda: optimizer(MomentState)(_without_state), r"function \(g, s, …\)"),
    "no state": (lambda: optimizer(_forgets), r"@optimizer\(State\) above _forgets"),
    "an instance": (lambda: optimizer(MomentState(0, 0)), r"optimizer\(MomentState\)"),
    "a default of a field": (lambda: optimizer(RateLast), "starts={'mu': 1.0}"),
    "a field named w": (lambda: optimizer(OfWeights), "has a field w"),
    "a number that nothing renews": (
        lambda: optimizer(Renewed)(_stores_both), "Number, which nothing renews"),
    "a mask without weights": (
        lambda: optimizer(MomentState)(_masked), "has a mask, but reads no weights"),
    "a name for a list": (
        lambda: made(_stores_both, eight_bits="nu")(), r"\['nu'\]"),
    "a number for starts": (lambda: made(_stores_both, starts=1.0)(), "starts must be a dict"),
    "no interval": (lambda: optimizer(MomentState)(_no_interval), "'0, 1' is no interval"),
    "once returns": (lambda: made(_stores_both, once=_returns_numbers)(), "It assigns what"),
    "once without s": (
        lambda: optimizer(MomentState, once=_without_a_state)(_decaying), "the state comes first"),
    "a core without a rate": (lambda: core(rate_last), "learning_rate: Rate first"),
    "a decay without a rate": (lambda: decayed(rate_last), "learning_rate: Rate first"),
    "a core of an optimizer": (lambda: core(lion(0.1)), r"not what lion\(…\) returns"),
    "a core that fixes nothing": (lambda: core(lion, b3=0.1), "fixes 'b3'"),
    "weight decay": (lambda: lion(0.1, weight_decay=0.1), r"decayed\(lion, …\)"),
    "no accumulators": (
        lambda: rate_last(accumulator_dtype="8bit"), r"add \*, accumulator_dtype=None"),
}  # fmt: skip


def _without_state(g, learning_rate: Rate):
    return g


def _masked(g, s, mask=None):
    return g


def _no_interval(g, s, b1: Annotated[Scalar, "0, 1"]):
    return g


def _decaying(g, s, b1: Decay):
    return g


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_cannot_be_meant_is_refused(call):
    make, message = CALLS[call]
    with pytest.raises(TypeError, match=message):
        make()


def test_once_is_told_which_hyperparameters_there_are():
    with pytest.raises(ValueError, match=r"needs 'beta'.*\(there are none\).*beta=…"):
        made(_stores_both, once=_asks_wrongly)()


def test_an_if_in_a_rule_is_told_what_to_write():
    @optimizer(MomentState)
    def choosing(g, s, learning_rate: Rate):
        s.mu = g
        return g if learning_rate > 0.5 else -g

    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        step(choosing(0.1))
    assert any("jnp.where(condition, a, b)" in note for note in caught.value.__notes__)


def test_8_bits_are_relative_to_a_square_that_is_stored():
    @optimizer(MomentsState, eight_bits=["mu", "nu"])
    def backwards(g, s, *, accumulator_dtype=None):
        s.mu = g
        s.nu = square(g)
        return s.mu

    step(backwards())
    with pytest.raises(AttributeError, match=r"s\.mu is stored before s\.nu.*store s.nu first"):
        step(backwards(accumulator_dtype="8bit"))


def test_complex_weights():
    w = jnp.array([1.0 + 1.0j])
    with pytest.raises(TypeError, match=r"complex number has no sign.*split_real_and_imaginary"):
        step(lion(0.1), w)

    @optimizer(MomentsState)
    def careless(g, s):
        s.mu, s.nu = g, g * g
        return g

    step(careless())
    with pytest.raises(TypeError, match=r"s\.nu is real.*square"):
        step(careless(), w)
    assert step(optax.contrib.split_real_and_imaginary(lion(0.1)), w)[0].dtype == jnp.complex64


def test_what_once_assigns_takes_the_place_of_a_hyperparameter():
    def warmed_up(s, learning_rate):
        s.learning_rate = learning_rate * jnp.minimum(s.count / 10, 1.0)

    @optimizer(MomentState, once=warmed_up)
    def warm(g, s, learning_rate: Rate):
        s.mu = g
        return -learning_rate * g

    assert float(step(warm(1.0))[0][0]) == pytest.approx(-0.1)


@pytest.mark.parametrize("value", [-1.0, "fast", jnp.ones(2)])
def test_a_hyperparameter_out_of_range_is_refused_by_name(value):
    with pytest.raises((TypeError, ValueError), match="b1 must be"):
        lion(0.1, value)


def test_a_hyperparameter_may_be_traced():
    def after(b1):
        return weights_after(lion(1e-2, b1))[0]["w"]

    np.testing.assert_allclose(jax.jit(after)(0.9), after(0.9), atol=1e-6)
