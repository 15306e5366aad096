"""Write the rule, get the optimizer.

    class LionState(NamedTuple):
        count: Count
        mu: Signed

    @optimizer(LionState)
    def lion(
        g, s, learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.99, *, accumulator_dtype=None
    ):
        direction = sign(b1 * s.mu + (1 - b1) * g)
        s.mu = b2 * s.mu + (1 - b2) * g
        return -learning_rate * direction

`lion(1e-4)` is then an Optax transformation like the methods of gdmethods,
which are written in the same way. It runs in one kernel on a TPU and a GPU,
takes parameters of every floating-point dtype, schedules and injected
hyperparameters, can keep its state in bfloat16, and works with all functions
and wrappers here.

A state declares its fields: `Count` (updates so far; each state has one) and
`Number` (one for all weights); and with a number for each weight `Signed`,
`Positive` (a factor), `Square` (a mean or sum of squares) and `Sign` (-1, 0 or
1).

An annotation gives the values of each hyperparameter: `Rate` (a number or a
schedule, ≥ 0), `Momentum` (likewise, in [0, 1]), `Decay` (in [0, 1)),
`NonNegative`, `Eps` (added to a root), `EpsRoot` (added to a square, inside of
a root), or your own interval: `Annotated[Scalar, "(0, 1)"]` or
`Annotated[ScalarOrSchedule, "(0, 1)"]`. `MomentumOrNone` and
`NonNegativeOrNone` also take None, which the rule gets as 0.
`accumulator_dtype` and `mask` need no annotation. With squares in 8 bits, a
positive `Eps` or `EpsRoot` that 8 bits cannot tell from 0 raises an error.

The operations are those that floating point does not get right by itself.
`squarable(g, s.nu)` keeps the square of a large gradient finite: without it one
gradient of 1e30 stops its weight for ever. `positive(v)` is never 0, so that
you can divide by it. `root(v, eps, eps_root, correction)` is √(v / correction +
eps_root) + eps of it. `sqrt` and `divide` have finite derivatives near 0, for
`jax.grad` through training.

A rule is compiled once: it does not see a global variable that changes later.
Test narrow state with `gdmethods.testing.assert_contract(make,
claims=["rounds_stochastically"], reference=make_in_float32)`. If the rule uses
only the sign of its state, as Lion does, the law cannot see the noise:
allow={"rounds_stochastically": "a sign hides it"}.
"""

from gdmethods._engine.annotations import (
    Decay,
    Eps,
    EpsRoot,
    Momentum,
    MomentumOrNone,
    NonNegative,
    NonNegativeOrNone,
    Rate,
)
from gdmethods._engine.factory import core, decayed, optimizer, rule_of
from gdmethods._engine.hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    at,
    is_zero,
    ordered,
    scalar,
)
from gdmethods._engine.leaf_state import LeafState
from gdmethods._engine.method import StepState
from gdmethods._engine.states import Count, Number, Positive, Sign, Signed, Square
from gdmethods._numbers.arithmetic import (
    divide,
    one_minus_power,
    positive,
    representable,
    root,
    sign,
    sqrt,
    squarable,
    square,
)

__all__ = [
    "optimizer",
    "core",
    "decayed",
    "rule_of",
    "LeafState",
    "StepState",
    "Count",
    "Number",
    "Signed",
    "Positive",
    "Square",
    "Sign",
    "Rate",
    "Momentum",
    "MomentumOrNone",
    "Decay",
    "NonNegative",
    "NonNegativeOrNone",
    "Eps",
    "EpsRoot",
    "Scalar",
    "ScalarOrSchedule",
    "at",
    "is_zero",
    "ordered",
    "scalar",
    "squarable",
    "square",
    "positive",
    "root",
    "divide",
    "sqrt",
    "sign",
    "representable",
    "one_minus_power",
]
