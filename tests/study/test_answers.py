"""The sentences that a study answers with, whatever came of it."""

import math

import made_results as made
import pytest

from gdmethods.study.comparison import answer, remarks

NAN = math.nan
FREE = made.facts(target=None)
MORE = made.facts(target=None, greater_is_better=True)

ADAM = made.outcome("adam", [1.0, 1.5, 1.2, 1.1, 1.3])
RMSPROP = made.outcome("rmsprop", [1.1, 1.4, 1.3, 1.2, 1.2])
SLOWER = made.outcome("sgd", [2.6, 2.7, 2.5, 2.8, 2.6])
LION = "optax.lion(b1=0.95, weight_decay=0.1)"


def free(label: str, *last: float) -> made.Outcome:
    return made.outcome(label, last, FREE)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (
            [SLOWER, ADAM, RMSPROP],
            "On digits, Adam and RMSProp are ahead and not told apart. Adam and RMSProp reach an "
            "error of 3 in 3.5 passes; SGD needs 1.1 times as many.",
        ),
        (
            [ADAM, made.outcome("sgd", [9.0] * 5), made.outcome("rprop", [8.9, 8, 9, 8, 9])],
            "On digits, Adam is ahead, with an error of 1.22. It reaches an error of 3 in 3.5 "
            "passes; RPROP and SGD miss it.",
        ),
        (
            [free("adam", 1, 1.1, 0.9), free("sgd", 2, 2.1, 1.9), free("rprop", 1, 9, 5)],
            "On digits, Adam is ahead, with an error of 1. RPROP varies too much over the seeds "
            "to be told from it. SGD ends with an error higher by 1.00 (1.00 to 1.00).",
        ),
        (
            [
                made.outcome("adam", [1, 1.1, 0.9]),
                made.outcome("sgd", [9, 9.1, 8.9]),
                made.outcome("rprop", [1, 25, 5]),
            ],
            "On digits, Adam is ahead, with an error of 1. RPROP varies too much over the seeds "
            "to be told from it. Adam reaches an error of 3 in 3.5 passes; SGD and RPROP miss it.",
        ),
        (
            [made.outcome("adam", [1.0])],
            "On digits, Adam ends with an error of 1. It reaches an error of 3 in 3.5 passes.",
        ),
        ([free("adam", 1.0)], "On digits, Adam ends with an error of 1."),
        (
            [free("adam", 1, 3)],
            "On digits, Adam ends with an error of 2. Its error varies by 2 over 2 seeds.",
        ),
        (
            [made.outcome("adam", [1.0]), made.outcome("sgd", [5.0])],
            "On digits, Adam ends best, with an error of 1, but one seed cannot tell methods "
            "apart. Adam reaches an error of 3 in 3.5 passes; SGD misses it.",
        ),
        (
            [free("adam", 1), free("sgd", 5)],
            "On digits, Adam ends best, with an error of 1, but one seed cannot tell methods "
            "apart. SGD ends with an error higher by 4.00.",
        ),
        (
            [free("adam", 1, 2, 3), free("sgd", 4, 5, 6)],
            "On digits, Adam is ahead, with an error of 2. SGD ends with an error higher by 3.00 "
            "(3.00 to 3.00).",
        ),
        (
            [free("adam", 1, 2, 3), free("sgd", 1, 3, 2)],
            "On digits, no difference is seen between Adam and SGD. A difference of less than "
            "2.48 would not be seen.",
        ),
        (
            [made.outcome("adam", [80, 81, 80], MORE), made.outcome("sgd", [60] * 3, MORE)],
            "On digits, Adam is ahead, with an accuracy of 80.3. SGD ends with an accuracy lower "
            "by 20.3 (18.9 to 21.8).",
        ),
        (
            [made.outcome("adam", [8.0, 8.1, 8.0]), made.outcome("sgd", [50, 51, 52])],
            "On digits, Adam is ahead, with an error of 8.03. None reaches an error of 3. SGD "
            "ends with an error higher by 43.0 (40.5 to 45.5).",
        ),
        ([free("adam", NAN, NAN), free("sgd", NAN, NAN)], "On digits, Adam and SGD diverge."),
        (
            [free("adam", 1, NAN), free("sgd", NAN, NAN)],
            "On digits, SGD diverges and Adam diverges with 1 of 2 seeds.",
        ),
        (
            [free("adam", 1, 2), free("sgd", NAN, 1)],
            "On digits, Adam is ahead, with an error of 1.5. Its error varies by 1 over 2 seeds. "
            "SGD diverges with 1 of 2 seeds.",
        ),
        (
            [ADAM, made.outcome("rprop", [], error="TypeError: no")],
            "On digits, Adam ends with an error of 1.22. It reaches an error of 3 in 3.5 passes. "
            "Its error varies by 0.5 over 5 seeds. RPROP failed.",
        ),
        ([made.outcome("adam", [], error="TypeError: no")], "On digits, Adam failed."),
        (
            [ADAM, made.outcome(LION, [80, 81, 82, 83, 84], loss=8.56)],
            "On digits, Adam is ahead, with an error of 1.22. It reaches an error of 3 in 3.5 "
            "passes; optax.lion misses it. optax.lion does not learn: its training loss ends no "
            "lower than it began.",
        ),
        (
            [free("adam(b1=0.5)", 1, 2, 3), free("adam(b1=0.9)", 7, 8, 9)],
            "On digits, adam(b1=0.5) is ahead, with an error of 2. adam(b1=0.9) ends with an "
            "error higher by 6.00 (6.00 to 6.00).",
        ),
        (
            [made.outcome(f"m{i}", [50 + i] * 3, made.facts(target=88.0)) for i in range(7)],
            "On digits, m0 is ahead, with an error of 50. All reach an error of 88 in 0.5 passes. "
            "The others end with an error higher by 1 to 6.",
        ),
        (
            [
                made.outcome(f"m{i}", [end] * 3)
                for i, end in enumerate((0.05, 0.2, 0.5, 1, 2, 2.5))
            ],
            "On digits, m0 is ahead, with an error of 0.05. It reaches an error of 3 in 2 passes; "
            "others need 1.2 to 2 times as many.",
        ),
    ],
)
def test_answer(outcomes: list[made.Outcome], expected: str) -> None:
    (text,) = answer(made.results(*outcomes))
    assert text == expected


def test_unfinished_study_says_so() -> None:
    texts = answer(made.results(ADAM, made.outcome("adam", [1.0], made.facts("other")), planned=4))
    assert len(texts) == 2
    assert "finished" not in texts[0]
    assert texts[1].endswith("The study is not finished: 2 results to come.")
    assert answer(made.results(planned=4)) == []


def test_few_seeds_say_what_they_can_tell() -> None:
    """A difference is seen from t / √n of its deviations on: 4.30 / √3 and 2.78 / √5."""
    (few,) = remarks([free("adam", 1, 2, 3), free("sgd", 1, 2, 4)])
    assert "2.5 times its standard deviation" in few
    assert "with 6 seeds, 1 times" in few  # 2.57 / √6
    assert "there may be one" in few
    (enough,) = remarks([ADAM, SLOWER])
    assert "1.2 times its standard deviation" in enough
    assert "there may be one" not in enough
    (three,) = remarks([ADAM, SLOWER, RMSPROP])  # 3 pairs: 3.96 / √5
    assert "1.8 times its standard deviation" in three
    (one,) = remarks([free("adam", 1), free("sgd", 2)])
    assert "take at least five" in one
    assert remarks([ADAM]) == []


def test_remarks_explain_the_star_and_what_does_not_learn() -> None:
    edge = made.outcome("adam", [1.0, 1.1], rate=0.1, extended=True)
    worse = made.outcome("sgd", [80.0, 81.0], loss=8.56)
    lost = made.outcome("rprop", [NAN, NAN])
    broken = made.outcome("momentum", [], error="TypeError: no")
    text = "\n".join(remarks([edge, worse, lost, broken]))
    assert "* Adam: the best learning rate, 0.1, is the highest tried." in text
    assert "Adam: the best learning rate was at the edge of the grid" in text
    assert (
        "SGD does not learn: at its best learning rate, the training loss ends at 8.56. " in text
    )
    assert "Before the first step it was 2.3." in text
    assert "RPROP does not learn: at its best learning rate, the training loss diverges." in text
    assert "Momentum failed: TypeError: no" in text
    assert "lowest tried" in "\n".join(remarks([made.outcome("adam", [1.0], rate=0.001)]))
