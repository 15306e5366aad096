"""The playground in Chromium: it moves under mouse, keys and touch, and shows its claims."""

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Context
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import gdmethods
from examples.playground.__main__ import page as whole_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.proof

LAYOUTS = [(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    named = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, named)), None)
    if not path:
        pytest.skip("no Chromium here; set CHROMIUM")
    with playwright.sync_playwright() as started:
        without_sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=path, args=without_sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("playground") / "playground.html"
    file.write_text(whole_page(), "utf-8")
    return file.as_uri()


@contextmanager
def opened(
    chromium: Any, address: str, width: int = 1280, scheme: str = "light", own: str = "file:"
) -> Iterator[Any]:
    """A page, which must not complain, ask for others than its own, or be wider than its window.

    At 400 pixels it is on a phone, which has a finger and no mouse.
    """
    phone = width < 500
    context = chromium.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    page, faults = context.new_page(), []
    page.on("console", lambda m: m.type in ("error", "warning") and faults.append(m.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: r.url.startswith((own, "data:")) or faults.append(r.url))
    page.goto(address)
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not faults
    context.close()


PIXELS = """canvas => {
  const { width, height } = canvas, copy = document.createElement("canvas");
  Object.assign(copy, { width, height });
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  return { colours: new Set(new Uint32Array(data.buffer)).size, corner: data.at(0) };
}"""


def drawn(page: Any) -> list[int]:
    """How many colours each visible canvas has."""
    return [c.evaluate(PIXELS)["colours"] for c in page.locator("canvas").all() if c.is_visible()]


# What presets measure, by the library and NumPy's slopes

CURVATURES = {"axes": (1, 25), "skewed": (0.1, 0.1)}
ANGLED = {"turned": (1, 25, 0.6), "noisy": (1, 4, 0.4)}


def hessian(loss: str) -> NDArray[np.float64]:
    if loss in CURVATURES:
        return np.diag(CURVATURES[loss])
    a, b, angle = ANGLED[loss]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([a, b]) @ turn.T


def built(method: str, hyper: dict[str, float]) -> tuple[Any, str]:
    """The library's transformation, and the dtype of its weights."""
    if method == "sgd_falling":
        rate, period = hyper.values()
        return gdmethods.sgd(lambda t: rate * period / (period + t)), "float64"
    if method == "sgd_stochastic":
        return gdmethods.with_stochastic_rounding(gdmethods.sgd(**hyper)), "bfloat16"
    if method == "sgd_bfloat16":
        return gdmethods.sgd(**hyper), "bfloat16"
    if method.startswith("adam_"):
        narrow = {"adam_16bit": "bfloat16", "adam_8bit": "8bit"}[method]
        return gdmethods.adam(**hyper, accumulator_dtype=narrow), "float32"
    return getattr(gdmethods, method)(**hyper), "float64"


class Walk:
    """Of the library, over 200 steps: weights, moves and losses."""

    def __init__(self, method: str, setting: dict[str, Any], noise: NDArray[np.float64]) -> None:
        slope = hessian(setting["loss"])
        tx, dtype = built(method, setting["hyper"][method])
        computing = "float64" if dtype == "float64" else "float32"
        with jax.enable_x64(True):
            move = jax.jit(tx.update)
            w = jnp.asarray(setting["start"], computing).astype(dtype)
            ws, moves, state = [], [], tx.init(w)
            for t in range(201):
                at = np.array(setting["start"]) if t == 0 else np.asarray(w, np.float64)
                g = slope @ at + noise[t]
                updates, state = move(jnp.asarray(g, computing), state, w)
                ws.append(at)
                w = (w + updates).astype(dtype)
                moves.append(np.asarray(updates, np.float64))
        self.w, self.by = np.array(ws), np.array(moves)
        self.loss = np.einsum("ti,ij,tj->t", self.w, slope, self.w) / 2
        self.far = np.linalg.norm(self.w, axis=1)

    def arrival(self) -> int:
        return int(np.flatnonzero(self.loss >= 0.01)[-1]) + 1

    def swing(self, t: int) -> float:
        return float(np.abs(self.w[t : t + 15, 1]).max())


def short(number: float) -> str:
    """Three digits; of two that are as near, the one farther from 0, as JavaScript has it."""
    rounded = Context(prec=3, rounding=ROUND_HALF_UP).create_decimal(float(number))
    return f"{float(rounded):g}"


def pair(numbers: NDArray[np.float64]) -> str:
    return " and ".join(short(abs(number)) for number in numbers)


def shrinks(before: float, after: float, steps: int) -> str:
    return f"{(after / before) ** (1 / steps):.3f}"


def apart(one: Walk, other: Walk) -> str:
    return short(np.linalg.norm(one.w - other.w, axis=1).max())


MEASURED: dict[str, Callable[..., str]] = {
    "oscillation": lambda sgd: (
        f"across × {shrinks(*np.abs(sgd.w[[0, 30], 1]), 30)} a step, "
        f"along × {shrinks(*np.abs(sgd.w[[0, 30], 0]), 30)}"
    ),
    "plane": lambda sgd, momentum: (
        f"momentum × {shrinks(momentum.far[100], momentum.far[200], 100)} a step, "
        f"SGD × {shrinks(sgd.far[100], sgd.far[200], 100)}"
    ),
    "nesterov": lambda momentum, nesterov: (
        f"momentum × {shrinks(momentum.swing(0), momentum.swing(30), 30)} a step, "
        f"Nesterov × {shrinks(nesterov.swing(0), nesterov.swing(30), 30)}"
    ),
    "gains": lambda sgd, adaptive_gains: (
        f"loss below 0.01 after {sgd.arrival()} steps of SGD, and {adaptive_gains.arrival()} "
        "with gains"
    ),
    "adagrad": lambda adagrad, rmsprop: (
        f"step 50 moves along by {short(adagrad.by[50, 0])} with AdaGrad, and "
        f"{short(rmsprop.by[50, 0])} with RMSProp"
    ),
    "adadelta": lambda adadelta: (
        f"|Δ₁| = {pair(adadelta.by[0])}, and a loss of {short(adadelta.loss[120])} after 120 steps"
    ),
    "rprop": lambda sgd, rprop: (
        f"mean of steps 100 to 200: Rprop at {short(rprop.w[100:, 0].mean())}, "
        f"SGD at {short(sgd.w[100:, 0].mean())}"
    ),
    "adam": lambda rmsprop, adam: (
        f"|Δ₁| = {pair(adam.by[0])} of Adam, {pair(rmsprop.by[0])} of RMSProp"
    ),
    "bfloat16": lambda sgd, sgd_bfloat16, sgd_stochastic: (
        f"after 200 steps, along: float64 {short(sgd.w[200, 0])}, to nearest "
        f"{short(sgd_bfloat16.w[200, 0])}, stochastic {short(sgd_stochastic.w[200, 0])}"
    ),
    "falling": lambda sgd, sgd_falling: (
        f"mean loss of steps 150 to 200: constant {short(sgd.loss[150:].mean())}, "
        f"falling {short(sgd_falling.loss[150:].mean())}"
    ),
    "eight_bits": lambda adam, adam_16bit, adam_8bit: (
        f"largest distance from the path in float64: {apart(adam_16bit, adam)} of bfloat16, "
        f"{apart(adam_8bit, adam)} of 8 bits"
    ),
}
MEASURED["gains_turned"] = MEASURED["gains"]


@functools.cache
def wanted(preset: str, setting: str, noise: tuple[tuple[float, ...], ...]) -> str:
    chosen = json.loads(setting)
    paths = [Walk(method, chosen, np.array(noise)) for method in chosen["methods"]]
    return f"Here: {MEASURED[preset](*paths)}"


@pytest.mark.parametrize(("width", "scheme"), LAYOUTS)
def test_each_preset_shows_its_claim_by_its_link(
    chromium: Any, address: str, width: int, scheme: str
) -> None:
    with opened(chromium, address, width, scheme) as page:
        links = page.locator("#presets a").all()
        names = page.evaluate("Object.keys(presets)")
        assert {*names} == {*MEASURED}
        for name, link in zip(names, links, strict=True):
            link.tap() if width < 500 else link.click()
            page.wait_for_function("name => setting.preset === name", arg=name)
            assert page.url.endswith(f"#preset={name}")
            words = page.locator("#words").inner_text()
            assert words == page.evaluate("presets[setting.preset].claim")
            assert page.locator("#formula").is_visible()
            assert page.locator("#measured").is_visible()
            noise = page.evaluate(
                """paths[setting.methods[0]].map(({ w, g }) => {
                  const slope = losses[setting.loss].gradient(...w);
                  return g.map((v, i) => losses[setting.loss].noise ? v - slope[i] : 0);
                })"""
            )
            setting = page.evaluate("JSON.stringify(setting)")
            shown = page.locator("#measured").inner_text()
            assert shown == wanted(name, setting, tuple(map(tuple, noise)))
            assert min(drawn(page)) > 3
            assert page.evaluate("document.documentElement.scrollWidth") <= width


# Hands


def finger(page: Any, *places: tuple[float, float]) -> None:
    """Touches the first place, slides over the others, and lifts."""
    hand = page.context.new_cdp_session(page)
    for kind, place in zip(["touchStart"] + ["touchMove"] * len(places), places, strict=False):
        points = [{"x": place[0], "y": place[1]}]
        hand.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def mouse(page: Any, *places: tuple[float, float]) -> None:
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def places(page: Any, canvas: Any, *parts: tuple[float, float]) -> list[tuple[float, float]]:
    """On the screen, of parts of a canvas's width and height."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in parts]


# How often a hundred moves write the address, which browsers refuse above some number
WRITES = """() => {
  let written = 0;
  const write = history.replaceState.bind(history);
  history.replaceState = (...address) => { written++; write(...address); };
  for (let k = 0; k < 100; k++) move([k / 50, 1]);
  return written;
}"""


@pytest.mark.parametrize(("width", "scheme"), LAYOUTS)
def test_it_moves(chromium: Any, address: str, width: int, scheme: str) -> None:
    drags = finger if width < 500 else mouse
    start = "#loss=axes&methods=sgd,momentum&start=-3,1&t=60"
    with opened(chromium, address + start, width, scheme) as page:
        plane = page.locator("#plane")

        def changes(act: Callable[[], object]) -> None:
            before = page.url, plane.evaluate("canvas => canvas.toDataURL()")
            act()
            page.wait_for_url(lambda url: url != before[0])
            assert plane.evaluate("canvas => canvas.toDataURL()") != before[1]

        assert page.evaluate(WRITES) <= 1
        page.wait_for_url("**start=1.98,1&*")
        there = ((1.98 + 4) / 8, (3 - 1) / 6)  # a finger on the start moves it, on a path or not
        changes(lambda: drags(page, *places(page, plane, there, (0.5, 0.1))))
        assert page.evaluate("setting.start") == pytest.approx([0, 2.4], abs=0.05)
        changes(lambda: plane.press("ArrowRight"))
        changes(lambda: plane.press("Shift+ArrowDown"))
        assert page.evaluate("setting.start") == pytest.approx([0.05, 1.9], abs=0.05)
        changes(lambda: drags(page, *places(page, plane, (0.9, 0.9), (0.1, 0.3))))
        changes(lambda: page.locator("[data-of='momentum.momentum']").press("ArrowLeft"))
        slider, part = page.locator("[data-of='sgd.learning_rate']"), {"x": 20, "y": 5}
        changes(lambda: slider.tap(position=part) if width < 500 else slider.click(position=part))
        map = page.locator("canvas.map")
        changes(lambda: drags(page, *places(page, map, (0.2, 0.2), (0.5, 0.5))))
        assert page.evaluate("setting.hyper.momentum.momentum") == pytest.approx(0.5, abs=0.02)
        assert page.evaluate("Math.log10(setting.hyper.momentum.learning_rate)") == pytest.approx(
            -1.4, abs=0.03
        )
        assert "converges: ×" in page.locator("#sliders").inner_text()
        changes(lambda: page.locator("[data-of=nesterov]").check())
        changes(lambda: page.locator("[data-of=sgd_stochastic]").check())
        changes(lambda: page.locator("#time").press("End"))
        page.locator("#time").press("Home")
        if drags is finger:
            page.locator("#play").tap()
        else:
            plane.press(" ")
        page.wait_for_timeout(600)
        page.locator("#play").click()
        assert 3 < page.evaluate("setting.t") < 40
        changes(lambda: page.locator("#surface").select_option("rosenbrock"))
        assert not map.first.is_visible()
        changes(lambda: plane.press("l"))
        assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") == 22
        kept = page.evaluate("JSON.stringify([setting, paths])")
        page.reload()
        assert page.evaluate("JSON.stringify([setting, paths])") == kept
        changes(lambda: page.locator("#large").click())
        assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") == 15


@pytest.mark.parametrize("width", [1280, 400])
def test_the_numbers_under_a_pointer(chromium: Any, address: str, width: int) -> None:
    """Of the point of the path that is pointed at; a finger does not move the start by it."""
    setting = "#loss=axes&methods=momentum&start=-3.2,2.8&t=9&momentum.learning_rate=0.03"
    with opened(chromium, address + setting, width) as page:
        tip, plane = page.locator("#under"), page.locator("#plane")
        spots = page.evaluate(
            "paths.momentum.slice(0, 10).map(({ w: [x, y] }) => [(x + 4) / 8, (3 - y) / 6])"
        )
        for t in (3, 9):
            spot, other = places(page, plane, spots[t], spots[t - 1])
            if width < 500:
                finger(page, other, spot)
            else:
                page.mouse.move(*spot)
            assert tip.is_visible()
            at = page.evaluate("t => paths.momentum[t]", t)
            for name, values in [
                ("w", at["w"]),
                ("g", at["g"]),
                ("velocity", [s["velocity"] for s in at["slots"]]),
            ]:
                assert f"{name} ({short(values[0])}, {short(values[1])})" in tip.inner_text()
            assert tip.inner_text().startswith(f"momentum, step {t}\n")
            box, frame = tip.bounding_box(), plane.bounding_box()
            assert frame["x"] <= box["x"]
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
        assert page.evaluate("setting.start") == [-3.2, 2.8]
        (away,) = places(page, plane, (0.9, 0.9))
        if width < 500:
            finger(page, away)
            assert page.evaluate("setting.start") != [-3.2, 2.8]
        else:
            page.mouse.move(*away)
        assert not tip.is_visible()


def test_the_scheme_switches(chromium: Any, address: str) -> None:
    with opened(chromium, address + "#preset=plane") as page:
        pictures, corners = [], []
        for scheme in ("light", "dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(
                "scheme => document.documentElement.dataset.scheme === scheme", arg=scheme
            )
            corners.append(page.locator("#plane").evaluate(PIXELS)["corner"])
            canvases = page.locator("canvas").all()
            pictures.append([c.evaluate("canvas => canvas.toDataURL()") for c in canvases])
        assert pictures[0] == pictures[2]
        assert corners[0] > 120  # also what is drawn once and kept, the contours
        assert corners[1] < 80
        assert all(a != b for a, b in zip(*pictures[:2], strict=True))


HOST = """<!doctype html><link rel="icon" href="data:,">
<body data-theme="auto">
<iframe src="playground.html#SETTING" style="width: 100%; border: 0"></iframe>
<script>var heights = []; onmessage = event => heights.push(event.data.playground);</script>
"""


@pytest.mark.parametrize("width", [1280, 700, 400])
def test_a_page_embeds_it(chromium: Any, address: str, width: int) -> None:
    """On one site: it sets its height, and follows the scheme."""
    site = "http://site.invalid/"
    files = {
        f"{site}adam.html": HOST.replace("SETTING", "embed=adam&preset=adam"),
        f"{site}playground.html": whole_page(),
    }
    with opened(chromium, "about:blank", width, own=site) as page:
        page.route(
            "**/*",
            lambda route: route.fulfill(
                body=files[route.request.url.partition("#")[0]], content_type="text/html"
            ),
        )
        page.goto(f"{site}adam.html")
        frame = page.frames[1]
        frame.wait_for_load_state()
        assert frame.locator("#words").is_visible()
        for hidden in ("h1", "#presets", ".hint"):
            assert not frame.locator(hidden).is_visible()
        sliders = frame.locator("#sliders input:visible")
        assert {s.get_attribute("data-of").split(".")[0] for s in sliders.all()} == {"adam"}
        chips = frame.locator("#methods input:visible").all()
        assert {c.get_attribute("data-of").split("_")[0] for c in chips} == {"adam"}

        def fits() -> None:
            page.wait_for_function(
                """() => {
                  const frame = document.querySelector("iframe"), inside = frame.contentDocument;
                  const height = inside.documentElement.offsetHeight;
                  return Math.abs(frame.clientHeight - height) < 1 && heights.at(-1) === height
                    && inside.documentElement.scrollWidth <= frame.clientWidth;
                }"""
            )

        fits()
        frame.locator("[data-of=adam_8bit]").check()
        fits()
        frame.locator("summary").first.click()
        fits()
        for theme, scheme in [("dark", "dark"), ("light", "light"), ("auto", "light")]:
            page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)
            frame.wait_for_function(
                "scheme => document.documentElement.dataset.scheme === scheme", arg=scheme
            )
        frame.locator("#whole").click()
        page.wait_for_url(f"{site}playground.html#preset=adam&*")
        assert page.locator("#presets").is_visible()
        assert page.locator("[data-of=adam_8bit]").is_checked()


def test_a_page_that_was_opened_as_a_file_embeds_it(
    chromium: Any, address: str, tmp_path: Path
) -> None:
    """Neither may look into the other; the height is told, and the scheme is the reader's."""
    (tmp_path / "host.html").write_text(
        HOST.replace("playground.html", address).replace("SETTING", "embed&methods=adam"), "utf-8"
    )
    with opened(chromium, (tmp_path / "host.html").as_uri(), scheme="dark") as page:
        page.wait_for_function("heights.length")
        frame = page.frames[1]
        assert page.evaluate("heights.at(-1)") == frame.evaluate(
            "document.documentElement.offsetHeight"
        )
        assert frame.evaluate("document.documentElement.dataset.scheme") == "dark"
