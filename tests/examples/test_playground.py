"""The page has the library's rules, shows what its presets claim, and needs no network."""

import inspect
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quickjs
from numpy.typing import NDArray

import gdmethods
from examples.playground import javascript
from examples.playground.__main__ import HERE, main, page
from examples.playground.rules import ROSTER, Rule, rules
from gdmethods.dialects import torch
from gdmethods.rules import one_minus_power, sign

STEPS = 60


LOGIC = ("presets.js", "course.js")


class Browser:
    """What is left of one without its window."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        for script in (rules(), *((HERE / name).read_text("utf-8") for name in LOGIC)):
            self._context.eval(script)

    def __call__(self, expression: str, **values: Any) -> Any:
        given = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
        return json.loads(
            self._context.eval(f"(() => {{ {given} return JSON.stringify({expression}); }})()")
        )


@pytest.fixture(scope="module")
def browser() -> Browser:
    return Browser()


def gradients() -> NDArray[np.float64]:
    """Of all sizes, with zeros, and one near the end whose square is nearly infinite."""
    chance = np.random.default_rng(0)
    course = chance.normal(size=STEPS) * 10.0 ** chance.uniform(-4, 2, STEPS)
    course[[0, 7, 8]] = 0.0
    course[57] = -1e150
    return course


def settings(rule: Rule) -> list[dict[str, float]]:
    """The page's own, one drawn by chance, and one with each number at its least."""
    chance, own = np.random.default_rng(1), rule.hyperparameters()
    drawn, least = dict(own), dict(own)
    units = {"min_gain": 0.01, "min_step_size": 0.01, "max_gain": 10.0, "max_step_size": 10.0}
    for name, (low, high, ends) in rule.ranges().items():
        drawn[name] = low + chance.uniform(0.2, 0.9) * (min(high, 2.0) - low) * units.get(name, 1)
        if ends[0] == "[" and name != "learning_rate":
            least[name] = low
    return [own, drawn, least]


def falling(learning_rate: float, period: float) -> optax.GradientTransformationExtraArgs:
    return gdmethods.sgd(lambda t: learning_rate * period / (period + t))


def sutskever(method: Any) -> Any:
    def build(learning_rate: float, **schedule: float) -> optax.GradientTransformationExtraArgs:
        return method(learning_rate, gdmethods.sutskever_momentum_schedule(**schedule))

    return build


def amsgrad(b1: float, b2: float, **hyper: float) -> optax.GradientTransformationExtraArgs:
    return torch.adam(betas=(b1, b2), amsgrad=True, lr=hyper.pop("learning_rate"), **hyper)


METHODS = ("sgd", "momentum", "nesterov", "adaptive_gains", "adagrad", "adadelta", "rprop")
METHODS += ("rmsprop", "adam", "adamw")
WANTED = {name: getattr(gdmethods, name) for name in METHODS} | {
    "sgd_falling": falling,
    "momentum_sutskever": sutskever(gdmethods.momentum),
    "nesterov_sutskever": sutskever(gdmethods.nesterov),
    "adaptive_gains_velocity": partial(gdmethods.adaptive_gains, agreement="velocity"),
    "rprop_minus": partial(gdmethods.rprop, variant="rprop-"),
    "rprop_plus": partial(gdmethods.rprop, variant="rprop+"),
    "rprop_iplus": partial(gdmethods.rprop, variant="irprop+"),
    "rmsprop_centered": partial(gdmethods.rmsprop, centered=True),
    "rmsprop_corrected": partial(gdmethods.rmsprop, bias_correction=True),
    "adam_uncorrected": partial(gdmethods.adam, bias_correction=False),
    "adam_amsgrad": amsgrad,
}
NARROW = {
    f"{name}_16bit": partial(getattr(gdmethods, name), accumulator_dtype=jnp.bfloat16)
    for name in METHODS[1:-1]
} | {
    f"{name}_8bit": partial(getattr(gdmethods, name), accumulator_dtype="8bit")
    for name in ("adagrad", "rmsprop", "adam")
}
NARROW_WEIGHTS = {
    "sgd_bfloat16": gdmethods.sgd,
    "sgd_stochastic": lambda **h: gdmethods.with_stochastic_rounding(gdmethods.sgd(**h)),
    "sgd_master": lambda **h: gdmethods.with_float32_master(gdmethods.sgd(**h)),
}


def walk(
    tx: optax.GradientTransformationExtraArgs, gs: NDArray[Any], dtype: Any
) -> tuple[list[float], list[float], list[dict[str, Any]]]:
    """The library's: weights, displacements, and the numbers of each state after them."""
    with jax.enable_x64(True):
        w = jnp.ones((), dtype)
        ws, moves, states, state = [], [], [], tx.init(w)
        for g, loss in zip(gs, LOSSES, strict=False):
            updates, state = tx.update(jnp.asarray(g), state, w, value=loss)
            ws.append(float(w))
            w = optax.apply_updates(w, updates) if dtype != "float64" else w + updates
            moves.append(float(w) - ws[-1] if dtype != "float64" else float(updates))
            states.append(gdmethods.read_state(state))
    return ws, moves, states


def walked(browser: Browser, name: str, **values: Any) -> tuple[list[float], list[dict[str, Any]]]:
    """The page's displacements and slots, from the same weights, gradients and losses."""
    return browser(
        """(() => {
          const rule = rules[name], moves = [], slots = [];
          let state = rule.init(1, hyper), by;
          ws.forEach((w, t) => {
            [by, state] = rule.step(gs[t], w, state, hyper, losses[t]);
            moves.push(by);
            slots.push(rule.slots(state));
          });
          return [moves, slots];
        })()""",
        name=name,
        losses=LOSSES,
        **values,
    )


LOSSES = np.random.default_rng(3).normal(size=STEPS).tolist()


@pytest.mark.parametrize("name", WANTED)
def test_its_rules_are_the_librarys(browser: Browser, name: str) -> None:
    gs, moved = gradients(), []
    for hyper in settings(ROSTER[name]):
        ws, wanted, states = walk(WANTED[name](**hyper), gs, "float64")
        moves, slots = walked(browser, name, hyper=hyper, ws=ws, gs=gs.tolist())
        np.testing.assert_allclose(moves, wanted, rtol=2e-14, atol=0.0, err_msg=f"{hyper}")
        for field in slots[0]:
            if getattr(states[0], field) is not None:  # Python's 0 keeps no velocity
                kept = [float(getattr(state, field)) for state in states]
                np.testing.assert_allclose([s[field] for s in slots], kept, rtol=2e-14)
        moved.append(np.count_nonzero(wanted))
    assert min(moved[:2]) > STEPS // 2  # with ε = 0, ADADELTA never starts


@pytest.mark.parametrize("name", NARROW)
def test_its_narrow_states_are_the_librarys(browser: Browser, name: str) -> None:
    """Each number that is stored to the last bit, and displacements to float32's digits."""
    gs = np.random.default_rng(0).normal(size=30).astype(np.float32)
    for hyper in settings(ROSTER[name])[:2]:
        ws, wanted, states = walk(NARROW[name](**hyper), gs, "float32")
        moves, slots = walked(browser, name, hyper=hyper, ws=ws, gs=gs.tolist())
        np.testing.assert_allclose(moves, wanted, rtol=1e-5, atol=1e-6, err_msg=f"{hyper}")
        for field in slots[0]:
            kept = [float(getattr(state, field)) for state in states]
            assert [s[field] for s in slots] == kept, (field, hyper)
            assert len({*kept}) > 1 or field == "next_momentum"


@pytest.mark.parametrize("name", NARROW_WEIGHTS)
def test_its_narrow_weights_are_the_librarys(browser: Browser, name: str) -> None:
    gs, hyper = np.random.default_rng(0).normal(size=STEPS), {"learning_rate": 0.003}
    gs = gs.astype(np.float32)
    ws, wanted, _ = walk(NARROW_WEIGHTS[name](**hyper), gs, "bfloat16")
    moves, _ = walked(browser, name, hyper=hyper, ws=ws, gs=gs.tolist())
    assert moves == wanted
    assert len({*ws}) > 5


def test_it_has_every_method_and_every_number() -> None:
    assert {*ROSTER} == {*WANTED, *NARROW, *NARROW_WEIGHTS}
    named = [*ROSTER]
    for name in named:  # a variant is named after its method, which stands before it
        assert any(name == of or name.startswith(f"{of}_") for of in METHODS)
        assert bool(ROSTER[name].words) == (name not in METHODS)
    for name in METHODS:
        parameters = inspect.signature(getattr(gdmethods, name)).parameters.values()
        numbers = {p.name for p in parameters if str(p.annotation).startswith("number")}
        assert {*ROSTER[name].ranges()} == {*ROSTER[name].hyperparameters()} == numbers
    assert len({name for rule in ROSTER.values() for name in rule.ranges()}) == 21


def test_the_gradients_of_its_losses_are_their_slopes(browser: Browser) -> None:
    h = 1e-5
    for name in browser("Object.keys(losses)"):
        for x, y in [(0.3, -1.2), (-1.7, 0.9)]:
            f = np.array(
                browser(
                    "places.map(([x, y]) => losses[name].f(x, y))",
                    name=name,
                    places=[[x + h, y], [x - h, y], [x, y + h], [x, y - h]],
                )
            )
            slopes = (f[::2] - f[1::2]) / (2 * h)
            found = browser("losses[name].gradient(x, y)", name=name, x=x, y=y)
            np.testing.assert_allclose(found, slopes, rtol=1e-6, atol=1e-8)


def test_its_noise_is_0_in_the_mean(browser: Browser) -> None:
    for name in ("noisy", "skewed"):
        drawn = browser(
            "(c => Array.from({ length: 40000 }, () => losses[name].noise(c)))(chances(1))",
            name=name,
        )
        assert abs(np.mean(drawn)) < 4 * np.std(drawn) / 200


def test_a_rule_is_told_the_loss_of_its_minibatch(browser: Browser) -> None:
    """iRprop+ asks for it; a minibatch that pulls by n adds n · w to the loss."""
    course = courses(browser, "loss=noisy&methods=rprop_iplus&start=-3,2")["rprop_iplus"]
    slopes = np.array(browser("ws.map(w => losses.noisy.gradient(...w))", ws=course.w.tolist()))
    values = course.loss + np.sum((course.g - slopes) * course.w, axis=1)
    with jax.enable_x64(True):
        tx = gdmethods.rprop(0.1, variant="irprop+")
        state, wanted = tx.init(jnp.array(course.w[0])), []
        for g, w, value in zip(course.g, course.w, values, strict=True):
            updates, state = tx.update(jnp.array(g), state, jnp.array(w), value=value)
            wanted.append(updates)
    np.testing.assert_allclose(course.by, wanted, rtol=1e-12)
    assert np.any(course.by == 0)  # where the loss fell and a sign turned
    turned = np.sign(course.g[1:]) * np.sign(course.g[:-1]) < 0
    assert np.any(turned & (course.by[1:] == -course.by[:-1]))  # where it rose


class Course:
    """Of one method in a preset, over all steps."""

    def __init__(self, points: list[dict[str, Any]]) -> None:
        self.points = points
        self.w, self.g, self.by = (np.array([p[k] for p in points]) for k in ("w", "g", "by"))
        self.loss = np.array([p["loss"] for p in points])

    def slot(self, name: str) -> NDArray[np.float64]:
        return np.array([[slots[name] for slots in p["slots"]] for p in self.points])

    def arrival(self) -> int:
        """From which step on the loss is below 0.01."""
        return int(np.flatnonzero(self.loss >= 0.01)[-1]) + 1


def courses(browser: Browser, address: str) -> dict[str, Course]:
    found = browser("courses(settingOf(address))", address=address)
    return {name: Course(points) for name, points in found.items()}


def test_oscillation(browser: Browser) -> None:
    def across(rate: float) -> NDArray[np.float64]:
        course = courses(browser, f"preset=oscillation&sgd.learning_rate={rate}")["sgd"]
        return course.w[:31, 1]

    y = across(0.076)
    np.testing.assert_allclose(y, 1.6 * (1 - 0.076 * 25) ** np.arange(31), rtol=1e-9)
    assert np.all(y[1:] * y[:-1] < 0)
    assert np.all(np.diff(np.abs(y)) < 0)
    assert np.all(across(0.039) > 0)
    assert np.all(np.diff(np.abs(across(0.081))) > 0)


@pytest.mark.parametrize("method", ["momentum", "nesterov"])
def test_the_plane_tells_how_fast_a_course_shrinks(browser: Browser, method: str) -> None:
    """Beside the course itself, by its largest distance in two windows."""
    for eta, mu in [(0.02, 0.9), (0.01, 0.0), (0.04, 0.2), (0.05, 0.5), (0.09, 0.3), (0.16, 0.9)]:
        numbers = f"{method}.learning_rate={eta}&{method}.momentum={mu}"
        course = courses(browser, f"loss=axes&methods={method}&start=-3,1&{numbers}")[method]
        far = np.linalg.norm(course.w, axis=1)
        window = min(len(far) // 3, 40)
        early, late = (far[n * window : (n + 1) * window].max() for n in (1, 2))
        shrunk = (late / early) ** (1 / window)
        told = browser("factor(method, eta, mu, losses.axes)", method=method, eta=eta, mu=mu)
        assert shrunk == pytest.approx(told, rel=0.02)


def test_the_plane_of_eta_and_mu(browser: Browser) -> None:
    found = courses(browser, "preset=plane")
    far = {name: np.linalg.norm(course.w, axis=1) for name, course in found.items()}
    for name, factor in [("sgd", 24 / 26), ("momentum", 4 / 6)]:
        assert (far[name][60] / far[name][30]) ** (1 / 30) == pytest.approx(factor, rel=0.03)
    told = browser("factor('momentum', 0.1111, 0.4444, losses.axes)")
    assert told == pytest.approx(4 / 6, abs=2e-2)
    for mu in (0.0, 0.5, 0.9):
        for part, converges in [(0.999, True), (1.001, False)]:
            eta = part * 2 * (1 + mu) / 25
            told = browser("factor('momentum', eta, mu, losses.axes)", eta=eta, mu=mu)
            assert (told < 1) == converges


def test_nesterovs_correction(browser: Browser) -> None:
    found = courses(browser, "preset=nesterov")
    swings = {name: np.abs(course.w[:, 1]) for name, course in found.items()}
    for name, factor in [("momentum", 0.9**0.5), ("nesterov", (0.9 * (1 - 0.02 * 25)) ** 0.5)]:
        envelope = [swings[name][t : t + 15].max() for t in (0, 30)]  # the largest of a swing
        shrunk = (envelope[1] / envelope[0]) ** (1 / 30)
        assert shrunk == pytest.approx(factor, abs=0.015)
        assert found[name].w[:, 1].min() < 0  # overshoots
    assert swings["nesterov"][40] < 1e-5 < 0.01 < swings["momentum"][35:45].max()


def test_gains_help_along_the_axes_alone(browser: Browser) -> None:
    found = courses(browser, "preset=gains")
    assert found["adaptive_gains"].arrival() <= (found["sgd"].arrival() + 1) / 2
    along, across = found["adaptive_gains"].slot("gains")[39]
    assert along > 2.5
    assert across < 0.2

    turned = courses(browser, "preset=gains_turned")
    assert turned["sgd"].arrival() == found["sgd"].arrival()
    assert turned["adaptive_gains"].arrival() >= turned["sgd"].arrival()
    one, other = turned["adaptive_gains"].slot("gains")[60]
    assert min(one, other) > 3
    assert one == pytest.approx(other, rel=0.05)


def test_adagrad_stops(browser: Browser) -> None:
    found = courses(browser, "preset=adagrad")
    rates = -found["adagrad"].by / found["adagrad"].g
    assert np.all(np.diff(rates, axis=0) < 0)
    assert found["adagrad"].loss[200] > 5
    assert found["rmsprop"].loss[120] < 0.01
    steps = {name: np.abs(course.by[:, 0]) for name, course in found.items()}
    assert steps["adagrad"][50] < 0.2 * steps["adagrad"][0]
    assert np.all(steps["rmsprop"][:50] > 0.03)


def test_adadelta_begins_with_epsilon(browser: Browser) -> None:
    for start in ("-3.2,1.6", "-0.5,0.3"):
        course = courses(browser, f"preset=adadelta&start={start}")["adadelta"]
        np.testing.assert_allclose(np.abs(course.by[0]), np.sqrt(1e-6 / 0.05), rtol=1e-4)
    slowly, faster = (
        courses(browser, f"preset=adadelta&adadelta.eps={eps}")["adadelta"].loss[120]
        for eps in (1e-6, 1e-4)
    )
    assert slowly > 15
    assert faster < 0.1 * slowly


def test_rprop_under_noise(browser: Browser) -> None:
    found = courses(browser, "preset=rprop")
    np.testing.assert_allclose(found["rprop"].w[100:], -2.5, atol=0.1)
    assert np.abs(found["sgd"].w).max() < 1.0


def test_adams_first_step(browser: Browser) -> None:
    for start in ("-3.2,1.6", "-0.5,0.01"):
        found = courses(browser, f"preset=adam&start={start}")
        np.testing.assert_allclose(np.abs(found["adam"].by[0]), 0.2, rtol=1e-6)
        np.testing.assert_allclose(np.abs(found["rmsprop"].by[0]), 0.2 * 10**0.5, rtol=1e-6)


def test_bfloat16_stops_and_stochastic_rounding_goes_on(browser: Browser) -> None:
    found = courses(browser, "preset=bfloat16")
    along = {name: course.w[:, 0] for name, course in found.items()}
    assert np.ptp(along["sgd_bfloat16"][1:]) == 0
    assert along["sgd"][200] > -2.2
    np.testing.assert_allclose(along["sgd_stochastic"], along["sgd"], atol=0.2)
    across = found["sgd_bfloat16"].w[:, 1]
    assert abs(across[200]) < 0.01  # its steps are larger


def test_a_rate_that_falls(browser: Browser) -> None:
    found = courses(browser, "preset=falling")
    late = {name: course.loss[150:].mean() for name, course in found.items()}
    assert late["sgd_falling"] < 0.1 * late["sgd"]
    rates = -found["sgd_falling"].by[:, 0] / found["sgd_falling"].g[:, 0]
    np.testing.assert_allclose(rates, 0.2 * 20 / (20 + np.arange(201)), rtol=1e-12)
    half = courses(browser, "preset=falling&sgd.learning_rate=0.05")["sgd"].loss[100:].mean()
    assert half < 0.5 * late["sgd"]  # η sets how far away it stays


def test_state_in_8_bits(browser: Browser) -> None:
    found = courses(browser, "preset=eight_bits")
    apart = {name: np.abs(course.w - found["adam"].w).max() for name, course in found.items()}
    assert 0 < apart["adam_16bit"] < 0.05 < apart["adam_8bit"] < 0.2
    assert all(course.loss[200] < 1e-3 for course in found.values())
    assert len({*found["adam_8bit"].slot("nu").ravel()}) < 30  # of 402 numbers


def test_what_a_preset_measures_needs_its_methods_to_the_end(browser: Browser) -> None:
    def measured(address: str) -> str:
        given = "(s => measured(s, courses(s)))(settingOf(address))"
        return str(browser(given, address=address))

    assert measured("preset=oscillation") == "Here: across × 0.900 a step, along × 0.924"
    assert measured("preset=oscillation&sgd.learning_rate=0.05") == (
        "Here: across × 0.250 a step, along × 0.950"
    )
    for without in (
        "",
        "preset=oscillation&methods=adam",
        "preset=oscillation&start=-3,0",
        "preset=adam&adam.learning_rate=1e9",
    ):
        assert measured(without) == ""


def test_an_address_keeps_the_setting(browser: Browser) -> None:
    for address in (
        "",
        "preset=nesterov",
        "preset=adam&methods=sgd,adam&t=9&adam.b1=0.5",
        "preset=adam&loss=saddle&sgd.learning_rate=3",
        "loss=rosenbrock&methods=adagrad,adamw&start=0.5,-0.25&t=199&adamw.weight_decay=0.25",
        "methods=",
        "embed=adam&preset=eight_bits",
        "embed&large&t=3",
    ):
        setting = browser("settingOf(address)", address=address)
        shown = {name: setting["hyper"][name] for name in setting["methods"]}
        again = browser("settingOf(addressOf(settingOf(address)))", address=address)
        assert {name: again["hyper"][name] for name in again["methods"]} == shown
        assert again | {"hyper": None} == setting | {"hyper": None}
    given = browser("settingOf('embed=adam_8bit&large')")
    assert (given["embed"], given["methods"], given["large"]) == ("adam", ["adam_8bit"], True)


@pytest.mark.parametrize(
    "part",
    [
        *(
            "loss=toString",
            "preset=toString",
            "preset=",
            "start=1",
            "start=a,b",
            "start=1e3,0",
            "t=201",
            "t=x",
        ),
        *("adam.b1=1", "adam.b1=", "adam.b1=x", "adam.b9=0.5", "rprop.eta_plus=1", "toString.x=1"),
    ],
)
def test_a_misspelt_address_changes_nothing(browser: Browser, part: str) -> None:
    assert browser("settingOf(address)", address=part) == browser("settingOf('')")


def test_it_is_one_file_that_asks_for_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--out", str(tmp_path)])
    (file,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"{file}\n"
    text = file.read_text("utf-8")
    assert text == page()
    assert "default-src 'none'" in text  # a browser then refuses each request
    assert not re.search(r"https?:|\bsrc\s*=|url\(|@import|fetch\(|XMLHttp", text)
    assert re.findall(r'href="([^"]*)"', text) == ["data:,"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    quickjs.Context().eval(
        f"new Function({json.dumps(script)})"
    )  # raises where it is no JavaScript


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.clip(x, -1.0, 2.0),
        lambda x: jnp.where(x != x, 5.0, -x),
        lambda x: sign(x),
        lambda x: (x > 0.5).astype(float) + (x < -1.0) / 4,
        lambda x: jnp.sqrt(1 + x * x) - jnp.maximum(x, 1.0) / jnp.minimum(x, -1.0),
        lambda x: one_minus_power(0.99999, (x * x + 1.5).astype("int32")),
        lambda x: {"list": [x * x, None], "constants": (True, -0.5)},
    ],
)
def test_its_operations_are_those_of_jax(browser: Browser, f: Any) -> None:
    for x in (-3.0, -0.0, 0.0, 5e-324, 0.7, 7.0):
        text = javascript.function(f, x=1.0)
        with jax.enable_x64(True):
            wanted = jax.tree.map(float, f(jnp.float64(x)))
        found = browser(f"({text})(x)", x=x)
        assert jax.tree.leaves(found) == pytest.approx(
            jax.tree.leaves(wanted), rel=1e-14, abs=1e-300
        )


def test_its_narrow_operations_round_as_those_of_jax(browser: Browser) -> None:
    chance = np.random.default_rng(0)
    floats = chance.normal(size=(100, 2)) * 2.0 ** chance.integers(-9, 9, (100, 2))
    ties = 1 + np.arange(10)[:, None] / [256, 512]  # between two bfloat16 numbers
    ints = chance.integers(0, 2**32, (100, 2))

    def in_bfloat16(a: jax.Array, b: jax.Array) -> Any:
        return [
            a.astype("bfloat16").astype("float32"),
            (a - b).astype("bfloat16") + a.dtype.type(0),
            jax.lax.reduce_precision(a, 8, 7).astype(a.dtype),
        ]

    cases: list[tuple[Any, Any, Any]] = [
        ("float32", floats, lambda a, b: [a + b, a - b, a * b, a / b, jnp.sqrt(a * a)]),
        ("float32", np.concatenate([floats, ties]), in_bfloat16),
        ("bfloat16", np.concatenate([floats, ties]), lambda a, b: [a + b, a - b, a * b, a / b]),
        ("uint32", ints, lambda a, b: [a + b, a * b, a ^ b, a & b, a | b, a >> 5, a << 7]),
    ]
    for dtype, pairs, f in cases:
        one, columns = jnp.ones((), dtype), jnp.asarray(pairs, dtype).T
        found = browser(
            f"pairs.map(([a, b]) => ({javascript.function(f, a=one, b=one)})(a, b))",
            pairs=np.asarray(columns.T.astype("float32" if dtype != "uint32" else dtype)).tolist(),
        )
        wanted = np.stack([np.asarray(x, np.float64) for x in f(*columns)], axis=1)
        np.testing.assert_array_equal(found, wanted, err_msg=dtype)


def test_an_operation_that_is_not_translated_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="sin of float64"):
        javascript.function(lambda x: jnp.sin(x), x=1.0)
    with pytest.raises(NotImplementedError, match="reduce_precision of float32"):
        javascript.function(lambda x: jax.lax.reduce_precision(x, 5, 10), x=np.float32(1.0))
    with pytest.raises(NotImplementedError, match="add of float16"):
        javascript.function(lambda x: x + x, x=np.float16(1.0))
