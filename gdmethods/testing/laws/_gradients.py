"""What varies is the gradients: their signs, their sizes, whether there are any."""

from collections.abc import Callable, Sequence

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies

from gdmethods.testing._differences import (
    brackets,
    named_leaves,
    number,
    require_same_updates,
)
from gdmethods.testing._subject import DTYPES, Subject

EXAMPLES = 20
COURSE = strategies.sampled_from((1.0, -1.0, 0.0, 0.5, -2.0, 10.0, -0.01))


def no_lag(subject: Subject) -> None:
    """The first update depends on the first gradient, in every weight."""
    gradients = [subject.along([sign] * subject.steps) for sign in (1.0, -1.0)]
    firsts = [
        jax.tree.map(lambda leaf: leaf[0], (g, subject.compiled(subject.params, g).updates))
        for g in gradients
    ]
    (ups, after_up), (downs, after_down) = firsts
    for (path, a), *rest in zip(
        named_leaves(after_up), *map(jax.tree.leaves, (after_down, ups, downs)), strict=True
    ):
        b, up, down = rest
        for index in np.argwhere(np.asarray(a == b)):
            at = tuple(index.tolist())
            raise AssertionError(
                f"the first update of weight{path}{brackets(at)} is {number(a[at])} after a "
                f"gradient of {number(up[at])} and after one of {number(down[at])}"
            )


def zero_gradient(subject: Subject) -> None:
    """A leaf whose gradient is zero for ever stays put, in every dtype."""

    def check(course: Sequence[float]) -> None:
        leaves, structure = jax.tree.flatten(subject.along(course))
        leaves[0] = np.zeros_like(leaves[0])
        gradients = jax.tree.unflatten(structure, leaves)
        updates = subject.compiled(subject.params, gradients).updates
        first = jax.tree.leaves(updates)[:1]
        require_same_updates(subject, first, leaves[:1], leaves[:1], "in fact", "if it stayed", 0)

    _for_every_course(subject, check)
    with jax.disable_jit():
        for dtype in filter(subject.takes, DTYPES[:-1]):  # float64 would need 64-bit JAX
            w = {"w": jnp.ones(3, dtype)}
            state, zeros = subject.tx.init(w), jax.tree.map(jnp.zeros_like, w)
            for t in range(2):
                _, state, updates = subject.step(w, state, zeros, jnp.float32(1))
                if np.any(updates["w"] != 0):
                    raise AssertionError(
                        f"a {dtype} weight with gradient 0: update {t + 1} is "
                        f"{number(updates['w'][0])}"
                    )


def sign_symmetry(subject: Subject) -> None:
    """With the signs of weights and gradients turned, the updates' signs turn too."""

    def check(course: Sequence[float]) -> None:
        gradients = subject.along(course)
        there = subject.compiled(subject.params, gradients).updates
        params, mirrored = jax.tree.map(jnp.negative, (subject.params, gradients))
        back = jax.tree.map(jnp.negative, subject.compiled(params, mirrored).updates)
        require_same_updates(subject, back, there, gradients, "mirrored", "straight")

    _for_every_course(subject, check)


def scale_invariance(subject: Subject) -> None:
    """Gradients a thousand times as large, or as small, give the same updates."""

    def check(course: Sequence[float]) -> None:
        gradients = subject.along(course)
        wanted = subject.compiled(subject.params, gradients).updates
        for scale in (1024.0, 1 / 1024):
            scaled = jax.tree.map(lambda g, c=scale: c * g, gradients)
            actual = subject.compiled(subject.params, scaled).updates
            here = f"if they are {scale:g} times as large"
            require_same_updates(subject, actual, wanted, gradients, here, "as they are")

    _for_every_course(subject, check)


def _for_every_course(subject: Subject, check: Callable[[Sequence[float]], None]) -> None:
    """Searches for gradients against a law, and shrinks what it finds."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.lists(COURSE, min_size=1, max_size=subject.steps))
    def search(course: list[float]) -> None:
        check(course + [0.0] * (subject.steps - len(course)))

    search()
