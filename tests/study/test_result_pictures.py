"""The pictures of results made by hand: which there are, and what they draw."""

import dataclasses
import io
import math
import re
import warnings
import xml.etree.ElementTree
from pathlib import Path

import made_results as made
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdmethods.study import pictures
from gdmethods.study.styles import STYLES, broken, names, styles

NAN = math.nan
OUTCOMES = [
    made.outcome("adam", [1.0, 1.5, 1.2]),
    made.outcome("optax.lion(b1=0.95)", [4.0, 2.9, 5.0], rate=0.1),
    made.outcome("sgd", [10.0, 11.0, 12.0]),
    made.outcome("momentum", [2.0, NAN, 2.5], rate=0.001, lost=(0.01, 0.1)),
    made.outcome("rprop", [], error="TypeError"),
]


def drawn(*outcomes: made.Outcome) -> dict[str, Figure]:
    return pictures.figures(made.results(*outcomes))[outcomes[0].problem.name]


def axes(figure: Figure) -> Axes:
    (one,) = figure.axes
    return one


@pytest.fixture(scope="module")
def digits() -> dict[str, Figure]:
    return drawn(*OUTCOMES)


def colors(figure: Figure) -> set[str]:
    return {str(line.get_color()) for line in axes(figure).lines}


def test_pictures_show_every_method_in_its_style(digits: dict[str, Figure]) -> None:
    assert list(digits) == ["loss", "judge", "rates", "passes", "seconds"]
    styled = styles([o.label for o in OUTCOMES])
    expected = {styled[o.label].color for o in OUTCOMES[:4]}
    assert len(expected) == 4
    assert styled["adam"] == STYLES["adam"]
    for figure in digits.values():
        assert colors(figure) == expected


def test_styles_stay_apart() -> None:
    labels = [*STYLES, *(f"my.method_{i}" for i in range(8))]
    labels.remove("adam")
    labels += ["adam(b1=0.5)", "adam(b1=0.8)"]
    found = styles(labels)
    assert len({(style.color, style.marker) for style in found.values()}) == len(labels)
    assert found["sgd"] == STYLES["sgd"]
    assert STYLES["adam"] not in found.values()


def test_a_legend_of_long_labels_is_within_the_picture() -> None:
    labels = [f"{name}(momentum=0.99)" for name in ("momentum", "nesterov", "velocity", "swing")]
    figure = drawn(*(made.outcome(label, [1.0, 1.1]) for label in labels))["loss"]
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_names_have_modules_and_arguments_where_they_must() -> None:
    expected = {
        "adam(b1=0.5)": "Adam",
        "optax.lion(b1=0.9)": "optax.lion",
        "my.own.rules.lion": "lion",
        "my.own.rules.tiger(a=1)": "my.own.rules.tiger",
        "your.own.rules.tiger": "your.own.rules.tiger",
        "sgd": "sgd",
        "sgd(a=1)": "sgd(a=1)",
    }
    assert names([*expected]) == expected


def test_words_are_broken_only_if_they_must() -> None:
    assert broken("clipped_momentum", 14) == "clipped_\n  momentum"
    assert broken("clipped_momentum", 16) == "clipped_momentum"
    assert broken("sgd(weight_decay=0.1)", 16) == "sgd(\n  weight_decay=\n  0.1)"


@pytest.mark.parametrize("label", ["x" * 200, "my.module.lion(b1=0.95, b2=0.99)", "a(b=c(d=0.5))"])
def test_labels_are_broken_into_lines(label: str) -> None:
    text = broken(label, 16)
    assert "".join(text.split()) == "".join(label.split())
    assert max(map(len, text.split("\n"))) <= 16
    assert all(number in text for number in re.findall(r"\d\.\d+", label))
    with warnings.catch_warnings(action="error"):
        figures = drawn(made.outcome(label, [1.0, 9.0]), made.outcome("adam", [1.0, 2.0]))
        figures["passes"].draw_without_rendering()


def test_of_many_methods_each_has_axes_of_its_own() -> None:
    """With its median in front of all medians, which are one grey line, and within the picture."""
    labels = [*STYLES, "optax.lion(b1=0.95, b2=0.99, weight_decay=0.001)"]
    ends = {label: float(number) for number, label in enumerate(labels, 1)}
    figure = drawn(*(made.outcome(label, [end, end]) for label, end in ends.items()))["judge"]
    assert not figure.legends
    assert len(figure.axes) == len(labels)
    for label, panel in zip(labels, figure.axes, strict=True):
        assert "".join(panel.get_title().split()) == "".join(label.split())
        grey, own = panel.lines
        assert own.get_color() == styles(labels)[label].color
        assert np.ravel(own.get_ydata())[-1] == pytest.approx(ends[label])
        known = np.ravel(grey.get_ydata()).reshape(len(labels), -1)
        assert known[:, -2] == pytest.approx([*ends.values()])
        assert np.isnan(known[:, -1]).all()
        assert len(panel.collections) == 1  # the band
    figure.draw_without_rendering()
    for panel in figure.axes:
        title = panel.title.get_window_extent()
        assert 0 <= title.x0 < title.x1 <= figure.bbox.width
    numbered = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len({*numbered} - {""}) >= 2
    assert len(drawn(*(made.outcome(label, [1.0]) for label in labels[:5]))["loss"].axes) == 1


def test_long_curves_are_drawn_at_some_points_with_both_ends() -> None:
    outcome = made.outcome("adam", [1.0])
    (run,) = outcome.repeats
    points = tuple(
        dataclasses.replace(run.points[0], passes=i / 100, loss=2.0 - i / 1000) for i in range(901)
    )
    long = dataclasses.replace(outcome, repeats=(dataclasses.replace(run, points=points),))
    (line,) = axes(drawn(long)["loss"]).lines
    x, y = np.ravel(line.get_xdata()), np.ravel(line.get_ydata())
    assert len(x) == pictures.DRAWN
    assert (x[0], x[-1]) == (0, 9)
    assert y == pytest.approx(2.0 - x / 10)


def test_bands_span_the_seeds() -> None:
    loss = axes(drawn(OUTCOMES[0])["loss"])
    (band,) = loss.collections
    ends = np.array([1.0, 1.5, 1.2]) / 90
    corners = np.asarray(band.get_paths()[0].vertices)
    last = corners[corners[:, 0] == made.PASSES][:, 1]
    assert (last.min(), last.max()) == pytest.approx((ends.min(), ends.max()))
    assert np.ravel(loss.lines[0].get_ydata())[-1] == pytest.approx(np.median(ends))
    assert not axes(drawn(made.outcome("adam", [1.0]))["loss"]).collections


def test_a_diverged_seed_is_infinite_in_the_median_and_in_no_band() -> None:
    once = made.outcome("adam", [2.0, NAN, 2.5])
    twice = made.outcome("sgd", [NAN, NAN, 2.5])
    judged = axes(drawn(once, twice)["judge"])
    top = judged.get_ylim()[1]
    first, second = (np.ravel(line.get_ydata())[-1] for line in judged.lines)
    assert first == pytest.approx(2.5)
    assert second == pytest.approx(top)
    for band in judged.collections:
        corners = np.asarray(band.get_paths()[0].vertices)
        assert corners[corners[:, 0] == made.PASSES][:, 1].max() == pytest.approx(2.5)


def test_divergence_does_not_squash_the_others() -> None:
    wild = made.outcome("rprop", [1.0, 1.0], loss=1e30)
    loss = axes(drawn(OUTCOMES[1], OUTCOMES[3], wild)["loss"])
    assert loss.get_ylim()[1] == pytest.approx(2 * made.START)
    assert max(np.max(line.get_ydata()) for line in loss.lines) == pytest.approx(2 * made.START)


def test_losses_below_zero_have_a_linear_scale() -> None:
    below = [dataclasses.replace(p, loss=p.loss - 2) for p in OUTCOMES[0].repeats[0].points]
    run = dataclasses.replace(OUTCOMES[0].repeats[0], points=tuple(below))
    loss = axes(drawn(dataclasses.replace(OUTCOMES[0], repeats=(run,)))["loss"])
    assert loss.get_yscale() == "linear"
    assert np.ravel(loss.lines[0].get_ydata())[-1] == pytest.approx(1 / 90 - 2)


def test_a_zero_is_at_the_edge_of_a_log_scale() -> None:
    run = OUTCOMES[0].repeats[0]
    last = dataclasses.replace(run.points[-1], loss=0.0)
    run = dataclasses.replace(run, points=(*run.points[:-1], last))
    loss = axes(drawn(dataclasses.replace(OUTCOMES[0], repeats=(run,)))["loss"])
    assert loss.get_yscale() == "log"
    assert np.ravel(loss.lines[0].get_ydata())[-1] == pytest.approx(run.points[-2].loss)


def test_more_is_better_has_a_linear_scale_and_diverges_below() -> None:
    problem = made.facts(greater_is_better=True)
    accuracy = axes(drawn(made.outcome("adam", [95.0, NAN], problem))["judge"])
    assert accuracy.get_yscale() == "linear"
    low, high = accuracy.get_ylim()
    assert low <= 10 < 95 <= high
    assert np.ravel(accuracy.lines[0].get_ydata())[-1] == pytest.approx(low)


def test_diverged_trials_are_crosses_and_rings_mark_the_chosen(digits: dict[str, Figure]) -> None:
    rates = axes(digits["rates"])
    (crosses,) = (line for line in rates.lines if line.get_marker() == "x")
    assert list(np.ravel(crosses.get_xdata())) == [0.01, 0.1]
    rings = [line for line in rates.lines if line.get_fillstyle() == "none"]
    assert [float(np.ravel(ring.get_xdata())[0]) for ring in rings] == [0.01, 0.1, 0.01, 0.001]
    left, right = rates.get_xlim()
    assert left < made.RATES[0] < made.RATES[-1] < right


def test_times_to_target_are_sorted(digits: dict[str, Figure]) -> None:
    for unit in ("passes", "seconds"):
        its = axes(digits[unit])
        labels = [label.get_text().split("(")[0] for label in its.get_yticklabels()]
        assert labels[0] == "adam"
        assert labels[1] == "momentum"
        assert labels[2:] == ["optax.lion", "sgd"]
        remarks = [text.get_text() for text in its.texts]
        assert remarks == ["2 of 3 seeds", "1 of 3 seeds", "not reached"]
        assert [len(np.ravel(line.get_xdata())) for line in its.lines] == [3, 2, 1, 0]
        assert len(its.patches) == 2  # the median of the others is infinite


def test_target_that_nobody_reaches_has_no_picture() -> None:
    assert list(drawn(OUTCOMES[2])) == ["loss", "judge", "rates"]
    free = made.outcome("adam", [1.0], made.facts(target=None))
    assert list(drawn(free)) == ["loss", "judge", "rates"]


def test_profile_is_of_several_problems() -> None:
    other = made.facts("other")
    for few in (OUTCOMES[:3], [OUTCOMES[2], made.outcome("sgd", [9.0], other)]):
        assert pictures.ALL not in pictures.figures(made.results(*few))
    both = [*OUTCOMES[:3], *(made.outcome(o.label, [1.0], other) for o in OUTCOMES[:3])]
    share = axes(pictures.figures(made.results(*both))[pictures.ALL]["profile"])
    assert [np.ravel(line.get_ydata())[-1] for line in share.lines] == [1.0, 0.5, 0.5]
    assert np.ravel(share.lines[0].get_xdata()).tolist()[:3] == [1.0, 1.0, 1.0]


def test_captions_say_what_the_seeds_allow() -> None:
    def caption(*last: float) -> str:
        return pictures.caption("loss", [made.outcome("adam", last)])

    assert "one seed" in caption(1.0)
    assert "band" not in caption(1.0)
    assert "midway between two seeds" in caption(1.0, 2.0)
    assert "quartile" not in caption(1.0, 2.0) + caption(1.0, 2.0, 3.0)
    assert "median of 3 seeds, and its band holds them all" in caption(1.0, 2.0, 3.0)
    assert "infinite" not in caption(1.0, 2.0, 3.0)
    assert "diverged counts as infinite" in caption(1.0, 2.0, NAN)


def test_all_that_diverges_can_be_drawn() -> None:
    lost = made.outcome("adam", [NAN, NAN], lost=made.RATES)
    never = [dataclasses.replace(r, points=r.points[-1:]) for r in lost.repeats]
    drawn(dataclasses.replace(lost, repeats=tuple(never), trials=tuple(never)))
    assert list(drawn(lost)) == ["loss", "judge", "rates"]
    for figure in drawn(lost).values():
        figure.savefig(io.BytesIO())


def test_failures_alone_have_no_picture(tmp_path: Path) -> None:
    assert pictures.write(tmp_path, made.results(OUTCOMES[-1])) == {"digits": {}}


def test_files_are_svg_with_text_and_always_the_same(tmp_path: Path) -> None:
    label = "my.factory(name='$x<b>')"
    results = made.results(made.outcome(label, [1.0, 1.1], made.facts(target=None)))
    paths = pictures.write(tmp_path, results)
    before = {name: path.read_bytes() for name, path in paths["digits"].items()}
    assert paths["digits"]["loss"] == tmp_path / "digits-loss.svg"
    for name, content in before.items():
        root = xml.etree.ElementTree.fromstring(content)
        text = "".join(root.itertext())
        assert "my.factory(" in text
        assert "$x<b>" in text
        assert float(root.attrib["width"].removesuffix("pt")) <= 360, name
        curves = re.findall(r' d="([^"]+)"', content.decode())
        assert re.search(r"\.\d\d\b", "".join(curves))
        assert not re.search(r"\.\d{3}", "".join(curves))
    pictures.write(tmp_path, results)
    assert before == {name: path.read_bytes() for name, path in paths["digits"].items()}
