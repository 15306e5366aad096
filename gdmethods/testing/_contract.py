"""The check itself: every law in turn, and what was promised of each."""

import textwrap
import warnings
from collections.abc import Callable, Collection, Mapping

import optax

from gdmethods.testing._laws import CLAIMED, LAWS, Law
from gdmethods.testing._report import ContractReport, Outcome, Verdict
from gdmethods.testing._subject import Subject


def check_contract(
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    allow: Mapping[str, str] | None = None,
    claims: Collection[str] = (),
) -> ContractReport:
    """Holds an Optax-style transformation to every law, and reports each.

    The gradients are made up, and do not depend on the weights. `update` is
    given the words of Optax's solvers with them, `value`, `grad` and
    `value_fn`, as the transformation's signature allows. That a law is kept
    says that no case was found against it.

    Arguments:
      make: takes no argument and builds the transformation; it is called
        several times.
      params: the parameters to walk from, of real floating point; None for a
        small tree. The laws about dtypes, trees, shardings and complex leaves
        bring their own.
      steps: updates in a walk, at least 2.
      allow: for each law that the transformation does not promise, by name,
        the reason why.
      claims: laws that are checked only of those who claim them:
        "scale_invariance".

    Returns:
      The report, which prints as a table.

    Raises:
      ValueError: `steps` is less than 2, `allow` or `claims` has a name that
        is no such law's, or a reason is empty.

    Example:
      >>> import optax
      >>> from gdmethods.testing import check_contract
      >>> report = check_contract(lambda: optax.rprop(0.1))
      >>> print(report.broken["no_lag"])
      the first update of weight['bias'][0] is -0 after a gradient of 1 and after one of -1
    """
    allow = dict(allow or {})
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}.")
    _require_known("allow", allow, LAWS)
    _require_known("claims", claims, CLAIMED)
    for name, reason in allow.items():
        if not reason:
            raise ValueError(f"allow[{name!r}] must be the reason why it is not promised.")
    subject = Subject(make, params, steps)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers")  # there is a law for it
        return ContractReport(
            tuple(
                Verdict(name, Outcome.NOT_APPLICABLE, "not claimed")
                if name in CLAIMED and name not in claims
                else _verdict(name, law, subject, allow.get(name))
                for name, law in LAWS.items()
            )
        )


def assert_contract(
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    allow: Mapping[str, str] | None = None,
    claims: Collection[str] = (),
) -> None:
    """`check_contract` as a test: an `AssertionError` shows the broken laws.

    Arguments and other errors are those of `check_contract`.

    Example:
      >>> import gdmethods
      >>> from gdmethods.testing import assert_contract
      >>> assert_contract(
      ...     lambda: gdmethods.rprop(0.1), claims=["scale_invariance"]
      ... )
    """
    report = check_contract(make, params=params, steps=steps, allow=allow, claims=claims)
    if report.broken:
        cases = [f"{name}: {message}" for name, message in report.broken.items()]
        count = "1 law is" if len(cases) == 1 else f"{len(cases)} laws are"
        raise AssertionError("\n".join([f"{count} broken.", *cases]))


def _verdict(name: str, law: Law, subject: Subject, reason: str | None) -> Verdict:
    try:
        law(subject)
    except Exception as error:  # whatever a transformation raises is a case against it
        if reason is None:
            return Verdict(name, Outcome.BROKEN, _said(error))
        return Verdict(name, Outcome.NOT_PROMISED, reason)
    if reason is None:
        return Verdict(name, Outcome.KEPT)
    return Verdict(name, Outcome.NOT_PROMISED, f"{reason} (no case found against it)")


def _said(error: Exception) -> str:
    message = textwrap.shorten(str(error), 300)
    return message if type(error) is AssertionError else f"{type(error).__name__}: {message}"


def _require_known(argument: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(
                f"{argument} names {name!r}, which is none of its laws: "
                f"{', '.join(law for law in LAWS if law in known)}."
            )
