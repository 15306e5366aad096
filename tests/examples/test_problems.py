"""The problems that are not images: each trains, and is what its text says."""

import re
import shlex
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression

import gdmethods
from examples import characters
from examples.problems import adding, friedman, quadratic, sparse, transformer
from gdmethods.study import Problem
from gdmethods.study.command import main
from gdmethods.study.dry_step import check
from gdmethods.study.trials import Prepared

FOLDER = Path(sparse.__file__).parent
README = FOLDER / "README.md"


@pytest.mark.parametrize(
    ("problem", "rate"),
    [
        (sparse.problem, 0.1),
        pytest.param(friedman.problem, 0.03, marks=pytest.mark.proof),
        pytest.param(transformer.problem, 0.01, marks=pytest.mark.proof),
        pytest.param(adding.problem, 0.003, marks=pytest.mark.proof),
        (quadratic.problem, 0.1),
        pytest.param(quadratic.rotated, 0.1, marks=pytest.mark.proof),
    ],
    ids=["sparse", "friedman", "transformer", "adding", "quadratic", "rotated"],
)
def test_each_trains_in_miniature(problem: Problem, rate: float) -> None:
    """In ten steps on a batch of four, the loss falls by a tenth."""
    check(problem)
    batch = jax.tree.map(lambda array: array[:4], problem.train)
    tx = gdmethods.adam(rate)
    loss_and_gradient = jax.value_and_grad(problem.stateful_loss, has_aux=True)

    def step(carry: Any, key: Any) -> tuple[Any, Any]:
        params, state, opt_state = carry
        (loss, state), gradient = loss_and_gradient(params, state, batch, key)
        updates, opt_state = tx.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), state, opt_state), loss

    @jax.jit
    def losses(key: Any) -> Any:
        params, state = problem.first(key)
        carry = params, state, tx.init(params)
        return jax.lax.scan(step, carry, jax.random.split(key, 11))[1]

    first, *_, last = losses(jax.random.key(0))
    assert last < 0.9 * first


def counts(words: Any) -> Any:
    return np.array([np.bincount(each, minlength=sparse.WORDS) for each in words])


def test_words_have_zipfs_frequencies() -> None:
    words, _ = sparse.problem.train
    seen = np.bincount(words.ravel(), minlength=sparse.WORDS)
    assert seen.sum() == sparse.TRAIN * sparse.LENGTH
    ranks = np.array([2, 4, 10, 50])
    np.testing.assert_allclose(seen[0] / seen[ranks - 1], ranks, rtol=0.1)


def test_scikit_learns_logistic_regression_is_at_rest_in_the_same_loss() -> None:
    """It minimizes |w|²/2 + C Σ cost, so that C ∇Σ is −w there; the true weights are better."""
    words, labels = (array[:500] for array in sparse.problem.train)
    loss = jax.jit(sparse.loss, static_argnums=2)
    regression = LogisticRegression(C=0.1, fit_intercept=False, tol=1e-6)
    w = regression.fit(counts(words), labels).coef_[0]
    gradient = jax.grad(loss)(w, (words, labels), None)
    np.testing.assert_allclose(0.1 * len(labels) * np.asarray(gradient), -w, atol=1e-3)
    words, labels = test = jax.tree.map(lambda array: array[:500], sparse.problem.test)
    likelihoods = regression.predict_log_proba(counts(words))
    its = -likelihoods[np.arange(500), labels.astype(int)].mean()
    assert float(loss(w, test, None)) == pytest.approx(its, rel=1e-5)
    assert loss(sparse.TRUE, test, None) < its


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_friedmans_function_leaves_the_noise_alone(part: str) -> None:
    x, y = getattr(friedman.problem, part)
    u = x.astype(float) / np.sqrt(12) + 0.5
    assert u.min() >= 0
    assert u.max() <= 1
    f = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
    f += 10 * u[:, 3] + 5 * u[:, 4]
    (slope, _), (noise,), *_ = np.polyfit(f, y, 1, full=True)
    assert slope**2 * friedman.NOISE**2 == pytest.approx(noise / len(y), rel=0.2)


def test_no_piece_is_in_two_parts() -> None:
    whole = characters.TEXT.read_text("ascii")
    known = sorted(set(whole))
    parts = {
        part: "".join(known[i] for i in np.ravel(getattr(transformer.problem, part)))
        for part in ("train", "validation", "test")
    }
    nine_tenths = whole[: len(whole) * 9 // 10]
    assert nine_tenths.startswith(parts["train"])
    assert nine_tenths.endswith(parts["validation"])
    assert len(parts["train"] + parts["validation"]) < len(nine_tenths)
    assert whole.removeprefix(nine_tenths).startswith(parts["test"])
    assert len(parts["test"]) == transformer.TEST * transformer.PIECE


def test_the_recurrent_network_is_that_of_a_loop() -> None:
    x, sums = (array[:5] for array in adding.problem.train)
    np.testing.assert_array_equal(x[..., 1].sum(axis=1), 2)
    np.testing.assert_array_equal(x[:, : adding.LENGTH // 2, 1].sum(axis=1), 1)
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(axis=1), sums, rtol=1e-6)
    rng = np.random.default_rng(0)
    w = {
        name: rng.normal(scale=0.3, size=weights.shape)
        for name, weights in adding.init(jax.random.key(0)).items()
    }
    errors = []
    for sequence, total in zip(x.astype(float), sums, strict=True):
        hidden = np.zeros(adding.UNITS)
        for entry in sequence:
            hidden = entry @ w["inputs"] + hidden @ w["recurrent"] + w["bias"][0]
            hidden = np.maximum(hidden, 0)
        errors.append(hidden @ w["out"] + w["out_bias"] - total)
    params = jax.tree.map(jnp.asarray, w)
    loss = float(jax.jit(adding.loss, static_argnums=2)(params, (x, sums), None))
    assert loss == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


def test_to_guess_the_mean_has_ten_times_the_target() -> None:
    params = adding.init(jax.random.key(0))
    mean = params | {"out": jnp.zeros(adding.UNITS), "out_bias": jnp.ones(())}
    loss = adding.loss(mean, adding.problem.test, None)
    assert float(loss) / 10 == pytest.approx(adding.problem.target, rel=0.1)


@pytest.mark.parametrize("norm", [0.5, 1e6])
def test_a_gradient_is_clipped_to_norm_1(norm: float) -> None:
    gradient = {"w": jnp.asarray([0.6 * norm, 0.8 * norm])}
    short = jax.tree.map(lambda g: g / max(norm, 1.0), gradient)
    for name in ("sgd", "momentum", "rmsprop", "adam"):
        tx = getattr(adding, f"clipped_{name}")(0.1)
        plain = getattr(gdmethods, name)(0.1)
        update, _ = tx.update(gradient, tx.init(gradient))
        expected, _ = plain.update(short, plain.init(short))
        np.testing.assert_allclose(update["w"], expected["w"], rtol=1e-5, err_msg=name)


def descended(problem: Problem, start: Any, steps: Any) -> Any:
    """E after gradient descent at the rate 1: ½ Σ λ (1 − λ)²ᵏ e², where e is R (w − 1) before."""
    matrix = np.asarray(problem.validation[0])
    curvatures, axes = np.linalg.eigh(matrix.T @ matrix)
    errors = axes.T @ (np.asarray(start, float) - 1)
    factors = (1 - curvatures) ** (2 * np.asarray(steps)[..., None])
    return 0.5 * np.sum(curvatures * factors * errors**2, axis=-1)


@pytest.mark.parametrize("problem", [quadratic.problem, quadratic.rotated])
def test_gradient_descent_on_the_quadratic_is_known(problem: Problem) -> None:
    matrix = np.asarray(problem.validation[0])
    hessian = matrix.T @ matrix
    assert np.linalg.cond(hessian) == pytest.approx(1e4, rel=1e-6)
    assert np.allclose(hessian, np.diag(np.diag(hessian))) == (problem is quadratic.problem)
    start = quadratic.init(jax.random.key(1))

    def step(w: Any, _: None) -> tuple[Any, Any]:
        loss, gradient = jax.value_and_grad(problem.loss)(w, problem.validation, None)
        return w - gradient, loss

    _, losses = jax.jit(lambda w: jax.lax.scan(step, w, length=200))(start)
    np.testing.assert_allclose(losses, descended(problem, start, np.arange(200)), rtol=1e-3)


def test_the_page_has_what_gradient_descent_comes_to() -> None:
    """Of the seeds 1 to 10, after 10 passes."""
    found = re.findall(r"^ +\d+ +sgd +1 +(−[\d.]+ ± [\d.]+) ", README.read_text(), re.MULTILINE)
    expected = []
    for problem in (quadratic.problem, quadratic.rotated):
        first = Prepared(problem, points=1, together=10).first
        starts, _, _ = first(jnp.arange(1, 11, dtype=jnp.uint32))
        ends = [np.log10(descended(problem, start, 10 * quadratic.STEPS)) for start in starts]
        expected.append(f"−{-np.mean(ends):.2f} ± {np.std(ends, ddof=1):.2f}")
    assert found == expected


def test_the_page_has_commands_that_run_and_pictures_that_are_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = README.read_text()
    commands = re.findall(r"^python -m gdmethods.study (.+?)\n```", page, re.DOTALL | re.MULTILINE)
    named = set()
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))
        with pytest.raises(SystemExit) as exit_:
            main([*words, "--help"])  # which is reached if all before it is right
        assert exit_.value.code == 0, capsys.readouterr().err
        named |= {word for word in words if word.startswith("examples.problems.")}
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert {name.removeprefix("examples.problems.").split(":")[0] for name in named} == modules
    pictures = {FOLDER / name for name in re.findall(r"\]\((pictures/.+?)\)", page)}
    assert pictures == {*(FOLDER / "pictures").iterdir()}
    assert max(path.stat().st_size for path in pictures) < 120_000
