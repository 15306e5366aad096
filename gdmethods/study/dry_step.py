"""A step on shapes alone, before the first run: a problem that does not fit is refused."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.study.problem import Problem, ProblemError

MEASURED_ONLY = (
    "; the key is None where the loss is only measured: draw nothing there, or take a key that is "
    "always the same"
)


def check(problem: Problem) -> None:
    """Refuses a problem whose parts do not fit: a `ProblemError` names the part."""
    name = problem.name or "the problem"
    try:
        _check_options(problem)
        batches = {"train": first_batch(problem)}
        for part in ("validation", "test"):
            data = getattr(problem, part)
            if data is not None:
                _rows(part, data)
                batches[part] = _take(data, 1)
                _alike(part, batches[part], batches["train"])
        params, state = _first(problem)
        _check_loss(problem, params, state, batches)
        _check_metrics(problem, params, state, batches)
    except ProblemError as error:
        raise ProblemError(f"{name}: {error}") from error.__cause__


def first_batch(problem: Problem) -> Any:
    """The first batch of the first pass, or as many rows of `train`."""
    if problem.batches is None:
        return _take(problem.train, problem.batch_size)
    batches = _called("batches(key)", problem.batches, jax.random.key(0))
    try:
        batch = next(iter(batches))
    except TypeError:
        raise ProblemError(
            f"batches(key) must give an iterable of batches, but gave a {type(batches).__name__}"
        ) from None
    except StopIteration:
        raise ProblemError("batches(key) must give the batches of a pass, but gave none") from None
    return jax.tree.map(np.asarray, batch)


def _check_options(problem: Problem) -> None:
    if (problem.train is None) == (problem.batches is None):
        raise ProblemError("give either train or batches")
    if problem.batches is None:
        examples = _rows("train", problem.train)
        if not 1 <= problem.batch_size <= examples:
            raise ProblemError(
                f"batch_size must be from 1 to the {examples} examples of train, got "
                f"{problem.batch_size}"
            )
    if problem.validation is None:
        raise ProblemError("validation is missing: these data choose the learning rate")
    unknown = {*problem.greater_is_better} - {problem.judge, *problem.metrics}
    if isinstance(problem.greater_is_better, str) or unknown:
        raise ProblemError(
            f"greater_is_better must be names out of {[problem.judge, *problem.metrics][1:]}, "
            f"got {problem.greater_is_better!r}"
        )


def _rows(part: str, data: Any) -> int:
    """The examples in data, which each array must have one row for."""
    shapes = {
        f"{part}{jax.tree_util.keystr(path)}": np.shape(array)
        for path, array in jax.tree_util.tree_leaves_with_path(data)
    }
    if not shapes or any(shape == () for shape in shapes.values()):
        raise ProblemError(
            f"{part} must be arrays with an example in each row, but is {shapes or data!r}"
        )
    if len({shape[0] for shape in shapes.values()}) > 1:
        lengths = ", ".join(f"{shape[0]} in {name}" for name, shape in shapes.items())
        raise ProblemError(f"{part} must have as many examples in each array, but has {lengths}")
    rows: int = next(iter(shapes.values()))[0]
    if not rows:
        raise ProblemError(f"{part} has no examples")
    return rows


def _take(data: Any, rows: int) -> Any:
    return jax.tree.map(lambda array: jnp.asarray(array[:rows]), data)


def _alike(part: str, batch: Any, train: Any) -> None:
    """That a batch is a tree of the same shapes as those that train, but for the rows."""
    expected, got = (_examples(tree) for tree in (train, batch))
    if expected != got:
        raise ProblemError(
            f"{part} must have examples as those that train, {expected}, but has {got}"
        )


def _examples(batch: Any) -> str:
    """The shapes of an example, without the rows."""
    return ", ".join(
        _named(np.shape(array)[1:], jnp.result_type(array)) for array in jax.tree.leaves(batch)
    )


def _first(problem: Problem) -> tuple[Any, Any]:
    made = _called("init(key)", lambda: jax.eval_shape(problem.init, jax.random.key(0)))
    if problem.has_state and not (isinstance(made, tuple) and len(made) == 2):
        raise ProblemError(
            "init(key) must give the pair (params, state), because of has_state, but gave "
            f"{_shapes(made)}"
        )
    params, state = made if problem.has_state else (made, ())
    if not jax.tree.leaves(params):
        raise ProblemError(f"init(key) must give parameters, but gave no array: {params!r}")
    for path, array in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(array.dtype, jnp.inexact):
            raise ProblemError(
                "init(key) must give arrays of floating-point numbers, but gave "
                f"{_shapes(array)} at {jax.tree_util.keystr(path)}; what is not trained is "
                "state: see has_state"
            )
    return params, state


def _check_loss(problem: Problem, params: Any, state: Any, batches: dict[str, Any]) -> None:
    arguments = (params, state) if problem.has_state else (params,)
    names = "params, state, " if problem.has_state else "params, "
    measured = ["train"] if problem.metrics else [*batches]
    for part, key in (("train", jax.random.key(0)), *((part, None) for part in measured)):
        call = f"loss({names}batch, {'None' if key is None else 'key'})"
        made = _called(
            f"{call} on {part}",
            lambda part=part, key=key: jax.eval_shape(
                lambda *args: problem.loss(*args, key), *arguments, batches[part]
            ),
            way_out=MEASURED_ONLY if key is None else "",
        )
        loss = made
        if problem.has_state:
            if not (isinstance(made, tuple) and len(made) == 2):
                raise ProblemError(
                    f"{call} must give the pair (scalar, new state), because of has_state, but "
                    f"gave {_shapes(made)}"
                )
            loss, new = made
            if key is not None and _shapes(new) != _shapes(state):
                raise ProblemError(
                    f"{call} must give a state like the one that it gets, {_shapes(state)}, but "
                    f"gave {_shapes(new)}"
                )
        _scalar(call, loss)


def _check_metrics(problem: Problem, params: Any, state: Any, batches: dict[str, Any]) -> None:
    arguments = (params, state) if problem.has_state else (params,)
    for name, metric in problem.metrics.items():
        call = f"metrics[{name!r}](params, {'state, ' * problem.has_state}batch)"
        for part in ("validation", "test"):
            if part in batches:
                made = _called(
                    f"{call} on {part}",
                    lambda metric=metric, part=part: jax.eval_shape(
                        metric, *arguments, batches[part]
                    ),
                )
                _scalar(call, made)


def _scalar(call: str, made: Any) -> None:
    if not (
        hasattr(made, "shape")
        and made.shape == ()
        and jnp.issubdtype(made.dtype, jnp.number)
        and not jnp.issubdtype(made.dtype, jnp.complexfloating)
    ):
        raise ProblemError(
            f"{call} must give a scalar, the mean over the batch, but gave {_shapes(made)}"
        )


def _called(part: str, function: Callable[..., Any], *arguments: Any, way_out: str = "") -> Any:
    try:
        return function(*arguments)
    except ProblemError:
        raise
    except Exception as error:  # whatever a function of the user may raise
        line = next(iter(str(error).splitlines()), "")
        raise ProblemError(f"{part} raised {type(error).__name__}: {line}{way_out}") from error


def _shapes(tree: Any) -> str:
    """Such as `{'w': f32[3]}`; what is no array as it is."""
    shapes = jax.tree.map(
        lambda leaf: _Name(
            _named(leaf.shape, leaf.dtype)
            if hasattr(leaf, "dtype") and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
            else repr(leaf)
        ),
        tree,
    )
    return repr(shapes)


def _named(shape: tuple[int, ...], dtype: Any) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


class _Name(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
