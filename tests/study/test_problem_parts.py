"""A problem that does not fit is refused on shapes; a checksum knows one from another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problems import TRAIN, VALIDATION, changed, classifier, error, init, loss, x, y

from gdmethods.study import ProblemError
from gdmethods.study.dry_step import check
from gdmethods.study.identity import problem_crc32
from gdmethods.study.problem import Problem


def test_parts_that_fit_pass() -> None:
    check(classifier)
    check(changed(metrics={}, test=VALIDATION))
    check(changed(train=None, batches=lambda key: [TRAIN]))


def with_state(new: Any) -> dict[str, Any]:
    return {
        "has_state": True,
        "init": lambda key: (init(key), jnp.zeros(2)),
        "loss": lambda params, state, batch, key: (loss(params, batch, key), new),
        "metrics": {"error": lambda params, state, batch: error(params, batch)},
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"batch_size": 101}, "batch_size must be from 1 to the 100 examples of train, got 101"),
        (
            {"train": (x, y[:50])},
            "train must have as many examples in each array, but has 200 in train[0], 50 in "
            "train[1]",
        ),
        ({"train": None}, "give either train or batches"),
        ({"batches": lambda key: [TRAIN]}, "give either train or batches"),
        ({"validation": None}, "validation is missing"),
        ({"validation": (x[:0], y[:0])}, "validation has no examples"),
        ({"validation": 3.0}, "validation must be arrays with an example in each row"),
        (
            {"validation": (x[:, :3], y)},
            "validation must have examples as those that train, float32[20], int32[], but has "
            "float32[3], int32[]",
        ),
        ({"test": (x,)}, "test must have examples as those that train"),
        ({"init": lambda key: {}}, "init(key) must give parameters, but gave no array: {}"),
        (
            {"init": lambda key: {"table": jnp.arange(3)}},
            "init(key) must give arrays of floating-point numbers, but gave int32[3] at ['table']",
        ),
        ({"init": lambda: 0.0}, "init(key) raised TypeError"),
        (
            {"loss": lambda params, batch, key: batch[0] @ params["w"]},
            "loss(params, batch, key) must give a scalar, the mean over the batch, but gave "
            "float32[20]",
        ),
        (
            {"loss": lambda params, batch: 0.0},
            "loss(params, batch, key) on train raised TypeError: <lambda>() takes 2 positional",
        ),
        (
            {"loss": lambda params, batch, key: jax.random.normal(key) * params["b"]},
            "the key is None where the loss is only measured: draw nothing there",
        ),
        (
            {"metrics": {"error": lambda params, batch: batch[0] @ params["w"]}},
            "metrics['error'](params, batch) must give a scalar, the mean over the batch, but "
            "gave float32[1]",
        ),
        ({"metrics": {"error": lambda params: 0.0}}, "metrics['error'](params, batch) on valida"),
        ({"greater_is_better": "error"}, "must be names out of ['error'], got 'error'"),
        ({"greater_is_better": ["accuracy"]}, "must be names out of ['error'], got ['accuracy']"),
        ({"has_state": True}, "init(key) must give the pair (params, state), because of has_stat"),
        (
            with_state(jnp.zeros(3)),
            "must give a state like the one that it gets, float32[2], but gave float32[3]",
        ),
        (
            {"train": None, "batches": lambda key: 3},
            "batches(key) must give an iterable of batches, but gave a int",
        ),
        ({"train": None, "batches": lambda key: iter(())}, "batches of a pass, but gave none"),
    ],
)
def test_a_part_that_does_not_fit_is_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ProblemError) as refused:
        check(changed(**changes))
    assert str(refused.value).startswith("classifier: ")
    assert complaint in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def scaled(factor: Any) -> Problem:
    return changed(loss=lambda params, batch, key: factor * loss(params, batch, key))


def test_a_problem_is_known_by_its_data_and_by_what_it_computes() -> None:
    known = problem_crc32(classifier)
    assert problem_crc32(changed(name="another", text="of words")) == known
    assert problem_crc32(changed(loss=lambda *args: loss(*args))) == known  # moved, not edited
    table = jnp.arange(4.0)
    others = [
        changed(train=(x[:100] + 1, y[:100])),
        changed(train=(x[:90], y[:90])),
        changed(validation=(x[100:] + 1, y[100:])),
        changed(test=VALIDATION),
        changed(init=lambda key: jax.tree.map(jnp.zeros_like, init(key))),
        changed(metrics={"error": lambda params, batch: 1 - error(params, batch)}),
        scaled(2.0),
        scaled(3.0),
        scaled(table.sum()),  # closed over
        scaled((table + 1).sum()),
        scaled(jax.jit(lambda: jnp.asarray(np.arange(3.0)).sum())()),
    ]
    assert len({known, *map(problem_crc32, others)}) == len(others) + 1


def test_constants_within_compiled_functions_count() -> None:
    def by(constants: Any) -> Problem:
        weighed = jax.jit(lambda params: (params["w"] * jnp.asarray(constants)).sum())
        return changed(loss=lambda params, batch, key: weighed(params))

    one, again, other = (np.ones(20, np.float32) * k for k in (1, 1, 2))
    assert problem_crc32(by(one)) == problem_crc32(by(again)) != problem_crc32(by(other))


def test_batches_are_known_by_the_first_one_unless_it_changes_by_itself() -> None:
    def seeded(offset: float) -> Problem:
        return changed(train=None, batches=lambda key: [(x[:20] + offset, y[:20])])

    assert problem_crc32(seeded(0)) == problem_crc32(seeded(0)) != problem_crc32(seeded(1))
    numbers = np.random.default_rng(0)
    unseeded = changed(
        train=None, batches=lambda key: [(x[:20] * np.float32(numbers.normal()), y[:20])]
    )
    assert problem_crc32(unseeded) == problem_crc32(unseeded)
