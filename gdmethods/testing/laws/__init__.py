"""The laws of a gradient transformation, each a function that raises at the first case against it.

The first line of a law's docstring is its statement. A law takes a `Subject`.
Any error is a case against it, whether the law or the transformation raised it.
Each file has the laws that vary one thing.
"""

from collections.abc import Callable
from typing import TypeAlias

from gdmethods.testing._subject import Subject
from gdmethods.testing.laws._calls import abstract_init, extra_args, fresh_init, purity
from gdmethods.testing.laws._compilation import (
    donation,
    jit_equals_eager,
    one_compilation,
    scan_equals_loop,
    sharding,
    vmap_equals_loop,
)
from gdmethods.testing.laws._dtypes import (
    complex_leaves,
    narrow_weights,
    state_dtypes,
    update_dtypes,
    wide_updates,
)
from gdmethods.testing.laws._gradients import (
    no_lag,
    scale_invariance,
    sign_symmetry,
    zero_gradient,
)
from gdmethods.testing.laws._interruptions import checkpoint, non_finite_step
from gdmethods.testing.laws._losses import descends
from gdmethods.testing.laws._references import bounded_steps, rounds_stochastically
from gdmethods.testing.laws._time import counts, long_walk
from gdmethods.testing.laws._trees import elementwise, shapes, tree_kinds

Law: TypeAlias = Callable[[Subject], None]


class _Laws(dict[str, Law]):
    def __repr__(self) -> str:
        """A line for each law: its name and what it states."""
        return "\n".join(f"{name}: {statement(law)}" for name, law in self.items())


def statement(law: Law) -> str:
    return (law.__doc__ or "").splitlines()[0]


LAWS = _Laws(
    (law.__name__, law)
    for law in (
        purity,
        fresh_init,
        abstract_init,
        extra_args,
        jit_equals_eager,
        vmap_equals_loop,
        scan_equals_loop,
        one_compilation,
        donation,
        sharding,
        checkpoint,
        non_finite_step,
        tree_kinds,
        shapes,
        elementwise,
        update_dtypes,
        state_dtypes,
        narrow_weights,
        complex_leaves,
        no_lag,
        zero_gradient,
        sign_symmetry,
        long_walk,
        counts,
        scale_invariance,
        descends,
        wide_updates,
        rounds_stochastically,
        bounded_steps,
    )
)
"""Every law by its name, in the order of the report."""

CLAIMED = frozenset(
    {"scale_invariance", "descends", "wide_updates", "rounds_stochastically", "bounded_steps"}
)
"""The laws that hold for few, and are checked only if they are claimed."""

REFERENCED = frozenset({"rounds_stochastically", "bounded_steps"})
"""The laws that need a reference: the same rule with float32 state."""
