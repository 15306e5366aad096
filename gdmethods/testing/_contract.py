"""The check itself: every law in turn, and what was promised about each."""

import inspect
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any

import optax

from gdmethods._engine.transformations import is_transformation
from gdmethods.testing._report import NEEDLESS, ContractReport, Outcome, Verdict
from gdmethods.testing._subject import Subject
from gdmethods.testing.laws import CLAIMED, LAWS, REFERENCED, statement

_LACKING = re.compile(r"missing \d+ required|must be (provided|given|passed)")


def check_contract(
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    allow: Mapping[str, str] | None = None,
    claims: Collection[str] = (),
    extra_args: Callable[[Any, Any, Any], dict[str, Any]] | None = None,
    reference: Callable[[], optax.GradientTransformation] | None = None,
) -> ContractReport:
    """Checks an Optax-style transformation against every law, and reports on each.

    The gradients are made up, and do not depend on the weights. `update` also
    gets the extra arguments of Optax's solvers, `value`, `grad` and `value_fn`,
    if the transformation's signature has them. A law is kept if no case was
    found against it. A dtype is not checked if `init` raises an error that
    names it.

    Some laws are checked only if `claims` has them:

    - "scale_invariance": updates do not change with the scale of the gradients.
    - "descends": with a small learning rate the loss falls.
    - "wide_updates": updates of bfloat16 and float16 parameters are float32,
      so that `optax.apply_updates` adds them in float32. It replaces
      `update_dtypes`.
    - "rounds_stochastically": state, or weights, are rounded to one of two
      neighbours at random. The laws that compare two walks then compare means
      and spreads over many nearly equal weights. Noise must differ between
      steps; equal weights may get the same noise. Needs `reference`.
    - "bounded_steps": in 78 walks no step is more than twice as long as the
      longest of the reference's, for state in few bits. In more walks one may
      be, by chance. Needs `reference`.

    Arguments:
      make: takes no argument and builds the transformation; it is called
        several times.
      params: the parameters to start from, of real floating point; None for a
        small tree. The laws about dtypes, trees, shapes, shardings, long walks
        and complex leaves have their own.
      steps: updates in a short walk, at least 2.
      allow: for each law that the transformation does not promise, by name,
        the reason why.
      claims: laws that only some keep, by name.
      extra_args: a function (params, gradients, loss) → dict of the other extra
        arguments that `update` needs.
      reference: builds the same rule with float32 state, as `make` does.

    Returns:
      The report, which prints as a table.

    Raises:
      TypeError: `make` or `reference` is no function that builds a
        transformation, `allow` is no dict, or `claims` a string.
      ValueError: `steps` is less than 2, `allow` or `claims` has an unknown
        name, a reason is empty, or a claim needs `reference`.

    Example:
      >>> import optax
      >>> from gdmethods.testing import check_contract
      >>> report = check_contract(lambda: optax.rprop(0.1))
      >>> print(report.broken["no_lag"])
      the first update of weight['bias'][0] is -0 after a gradient of 1 and after one of -1
      Expected: The first update depends on the first gradient, in every weight.
      Reproduce: check_law("no_lag", make)

    Elsewhere: these laws show bugs that were reported to Optax:

    - `no_lag`: 1725, Rprop a step late.
    - `zero_gradient`: 1754, 1784 and 1789, NaN in float16 (1755 fixes some).
    - `narrow_weights`: 1552, bfloat16 moments stall.
    - `state_dtypes`: 1051, 1207 and 1405, state that is promoted, by an
      injected rate too, and cannot be donated.
    - `one_compilation`: 1440, a weak type.
    - `donation`: 1059, state that is the parameters.
    - `tree_kinds` and `shapes`: 1736, scalars.
    - `counts`: a step that never advances under a wrapper.

    No law shows 1746, a count of `apply_if_finite` that never starts again;
    1744, a schedule that starts at its second value; or 1715, a wrong
    coefficient. Their updates are finite, smooth and downhill.
    """
    return _Contract(make, params, steps, allow, claims, extra_args, reference).report()


def assert_contract(
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    allow: Mapping[str, str] | None = None,
    claims: Collection[str] = (),
    extra_args: Callable[[Any, Any, Any], dict[str, Any]] | None = None,
    reference: Callable[[], optax.GradientTransformation] | None = None,
) -> None:
    """`check_contract` as a test: raises an `AssertionError` with the broken laws.

    Arguments and other errors are those of `check_contract`.

    Example:
      >>> import gdmethods
      >>> from gdmethods.testing import assert_contract
      >>> assert_contract(
      ...     lambda: gdmethods.rprop(0.1), claims=["scale_invariance"]
      ... )
    """
    report = check_contract(
        make,
        params=params,
        steps=steps,
        allow=allow,
        claims=claims,
        extra_args=extra_args,
        reference=reference,
    )
    report.require()


def check_law(
    law: str,
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    claims: Collection[str] = (),
    extra_args: Callable[[Any, Any, Any], dict[str, Any]] | None = None,
    reference: Callable[[], optax.GradientTransformation] | None = None,
) -> None:
    """Checks a transformation against one law; raises the first case against it.

    An error of the transformation keeps its own traceback, so that a debugger
    stops in its code.

    Arguments and other errors are those of `check_contract`.

    Example:
      >>> import gdmethods
      >>> from gdmethods.testing import check_law
      >>> check_law("no_lag", lambda: gdmethods.adam(0.1))
    """
    _require_known("law", [law], LAWS)
    contract = _Contract(make, params, steps, None, claims, extra_args, reference)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers")
        LAWS[law](contract.subject)


def every_law(
    make: Callable[[], optax.GradientTransformation],
    *,
    params: optax.Params | None = None,
    steps: int = 4,
    allow: Mapping[str, str] | None = None,
    claims: Collection[str] = (),
    extra_args: Callable[[Any, Any, Any], dict[str, Any]] | None = None,
    reference: Callable[[], optax.GradientTransformation] | None = None,
) -> Any:
    """Parametrizes a pytest test with the laws, so that a failure names its law.

        @every_law(lambda: my_optimizer(0.1))
        def test_the_contract(law):
            law()

    A law in `allow` is skipped with its reason. A law that only some claim is
    left out unless `claims` has it.

    Arguments and errors are those of `check_contract`. Needs pytest.

    Example:
      >>> import gdmethods
      >>> from gdmethods.testing import every_law
      >>> every_law(lambda: gdmethods.adam(0.1)).kwargs["ids"][0]
      'purity'
    """
    try:
        import pytest
    except ImportError as error:
        raise ImportError("every_law parametrizes tests of pytest: pip install pytest.") from error

    contract = _Contract(make, params, steps, allow, claims, extra_args, reference)

    def case(name: str) -> Callable[[], None]:
        def law() -> None:
            if name in contract.allow:
                pytest.skip(contract.allow[name])
            ContractReport((contract.verdict(name),)).require()

        return law

    names = [name for name in LAWS if contract.asks(name)]
    return pytest.mark.parametrize("law", [case(name) for name in names], ids=names)


class _Contract:
    """The checked arguments of `check_contract`, and the verdict on each law."""

    def __init__(
        self,
        make: Any,
        params: Any,
        steps: int,
        allow: Any,
        claims: Any,
        extra_args: Any,
        reference: Any,
    ) -> None:
        _require_builder("make", make)
        if reference is not None:
            _require_builder("reference", reference)
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}.")
        if allow is not None and not isinstance(allow, Mapping):
            raise TypeError(
                f"allow is a {type(allow).__name__}, but must be a dict that says why each law is "
                "not promised: allow={'zero_gradient': 'it decays weights'}."
            )
        if isinstance(claims, str):
            raise TypeError(f"claims must be a list of names: claims=[{claims!r}].")
        self.allow: dict[str, str] = dict(allow or {})
        _require_known("allow", self.allow, LAWS)
        _require_known("claims", claims, CLAIMED)
        for name, reason in self.allow.items():
            if not reason:
                raise ValueError(f"allow[{name!r}] must be the reason why it is not promised.")
        for name in REFERENCED.intersection(claims):
            if reference is None:
                raise ValueError(
                    f"claims names {name!r}, which needs reference: a function that builds the "
                    "same rule with float32 state."
                )
        self.claims = claims
        self._given = (make, params, steps, claims, extra_args, reference)

    @cached_property
    def subject(self) -> Subject:
        make, params, steps, claims, extra_args, reference = self._given
        return Subject(
            make, params, steps, claims=claims, extra_args=extra_args, reference=reference
        )

    def asks(self, name: str) -> bool:
        if name == "update_dtypes" and "wide_updates" in self.claims:
            return False
        return name not in CLAIMED or name in self.claims

    def report(self) -> ContractReport:
        verdicts: list[Verdict] = []
        for name in LAWS:
            verdict = self.verdict(name)
            if verdict.outcome is Outcome.NOT_TRIED and any(
                v.outcome is Outcome.NOT_TRIED for v in verdicts
            ):
                verdict = Verdict(name, Outcome.NOT_TRIED, "for the same reason")
            verdicts.append(verdict)
        return ContractReport(tuple(verdicts))

    def verdict(self, name: str) -> Verdict:
        if not self.asks(name):
            instead = "wide_updates is claimed" if name == "update_dtypes" else "not claimed"
            return Verdict(name, Outcome.NOT_APPLICABLE, instead)
        reason = self.allow.get(name)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers")  # there is a law for it
            try:
                LAWS[name](self.subject)
            except Exception as error:  # whatever a transformation raises is a case against it
                if self._lacking is not None and str(self._lacking) in str(error):
                    return Verdict(name, Outcome.NOT_TRIED, self._way_out())
                if reason is None:
                    return Verdict(name, Outcome.BROKEN, self._said(name, error))
                return Verdict(name, Outcome.NOT_PROMISED, reason)
        if reason is None:
            return Verdict(name, Outcome.KEPT)
        return Verdict(name, Outcome.NOT_PROMISED, f"{reason} {NEEDLESS}")

    @cached_property
    def _lacking(self) -> Exception | None:
        """The error of update if an argument is missing."""
        subject = self.subject
        try:
            state = subject.tx.init(subject.params)
            subject.step(subject.params, state, *subject.course()[0])
        except (TypeError, ValueError) as error:
            return error if _LACKING.search(str(error)) else None
        except Exception:
            return None
        return None

    def _way_out(self) -> str:
        return (
            f"update needs an argument that it was not given: {self._lacking} Pass "
            "extra_args=lambda params, gradients, loss: {name: value}."
        )

    def _said(self, name: str, error: Exception) -> str:
        case = " ".join(str(error).split())
        case = case if len(case) <= 400 else f"{case[:390]} […]"
        if type(error) is not AssertionError:
            case = f"{type(error).__name__}: {case}"
        _, params, steps, claims, extra_args, reference = self._given
        options = [f", claims={[*claims]}"] if claims else []
        options += [f", steps={steps}"] if steps != 4 else []
        for option, value in zip(
            ("params", "extra_args", "reference"), (params, extra_args, reference), strict=True
        ):
            options += [] if value is None else [f", {option}={option}"]
        return (
            f"{case}\nExpected: {statement(LAWS[name])}\n"
            f'Reproduce: check_law("{name}", make{"".join(options)})'
        )


def _require_builder(argument: str, make: Any) -> None:
    """Raises an error unless a call builds a transformation."""
    wanted = f"{argument} must be a function without arguments that builds the transformation"
    if is_transformation(make):
        raise TypeError(f"{wanted}, and is a transformation. Write lambda: before it.")
    if not callable(make):
        raise TypeError(f"{wanted}, and is {make!r}.")
    name = getattr(make, "__name__", type(make).__name__)
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise TypeError(
            f"{wanted}, and {name} is {error}. Write lambda: {name}(…) with its arguments."
        ) from None
    except ValueError:  # it has no signature to look at
        pass
    made = make()
    if not is_transformation(made):
        came = getattr(made, "__name__", None) or repr(made)
        raise TypeError(f"{wanted}, and built {came}. Call that, or return another.")


def _require_known(argument: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(
                f"{argument} names {name!r}, which is none of its laws: "
                f"{', '.join(law for law in LAWS if law in known)}."
            )
