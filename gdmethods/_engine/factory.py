"""From a rule to the factory of its optimizer."""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, overload

import jax
import optax

from gdmethods._engine.annotations import (
    Declared,
    NonNegativeOrNone,
    checked,
    declared,
    hyperparameter,
)
from gdmethods._engine.hyperparameters import ScalarOrSchedule, at
from gdmethods._engine.leaf_state import LeafState
from gdmethods._engine.lifting import Rule, known_before_compilation
from gdmethods._engine.method import Method, StepState, method, negated, weightless
from gdmethods._engine.options import ELSEWHERE, refusing
from gdmethods._engine.public_name import public_name
from gdmethods._engine.slots import Slots
from gdmethods._engine.states import kinds, register
from gdmethods._engine.transformations import is_transformation
from gdmethods._numbers.kinds import Kind

P = ParamSpec("P")
Result = TypeVar("Result")
Transformation: TypeAlias = optax.GradientTransformationExtraArgs


def optimizer(
    state_type: type[Any],
    *,
    starts: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    eight_bits: Collection[str] | Callable[..., Collection[str]] = (),
    once: Callable[..., None] | None = None,
    weights: bool | Callable[..., bool] = False,
    reasons: Mapping[str, str] | None = None,
) -> Callable[[Callable[Concatenate[jax.Array, LeafState, P], Any]], Callable[P, Transformation]]:
    """Decorates a rule, which becomes the factory of its optimizer.

    A rule is a function `(g, s, *hyperparameters)` of one leaf. From the
    gradient g and the state s, a `LeafState`, it returns the displacement Δ
    that is added to the weights, and it stores the new state in s. It is
    written for one weight, without trees, dtypes and formats.

    The factory has the rule's name, docstring and hyperparameters. An
    annotation gives the values of each hyperparameter: a name of
    `gdmethods.rules` such as `Rate`, `bool`, `Literal["a", "b"]`, or an
    interval such as `Annotated[Scalar, "(0, 1)"]`. The rule gets the value of a
    schedule. `accumulator_dtype` and `mask` need no annotation. A rule without
    `accumulator_dtype` keeps its slots in float32 or wider.

    Functions among the arguments below get the hyperparameters that their
    parameters name; a schedule is passed as it is. `once` is called in each
    update, the others when an optimizer is built.

    Arguments:
      state_type: a NamedTuple with `count: Count`, whose other fields are
        `Signed`, `Positive`, `Square`, `Sign` (one number a weight) or `Number`
        (one for all).
      starts: the start of each field that does not start at 0; None for a field
        that this configuration does not keep. A dict, or a function that
        returns one. The function may also raise an error for hyperparameters
        that do not go together.
      eight_bits: the slots for which 8 bits are enough, as a list. Possible are
        squares, and a signed m whose |m|/√v stays below 59, where v is the
        first square of the state and is not computed from m. The rule must
        store v before m. With accumulator_dtype="8bit" all other slots are
        bfloat16.
      once: `once(s, …)` runs before the rule does, and computes what is the
        same for all leaves; s is a `StepState`. Its parameters that are no
        hyperparameters are keyword arguments of `tx.update`.
      weights: whether the rule reads the weight, as `s.w`. An argument `mask`
        of the rule then selects the weights that it reads, as in
        `gdmethods.adamw`; the others read as 0.
      reasons: by option that the factory does not have, the end of the error
        message.

    Returns:
      The decorator.

    Raises:
      TypeError: a field or a hyperparameter is not declared, or a function
        names an unknown hyperparameter.

    Example:
      >>> from typing import NamedTuple
      >>> import jax.numpy as jnp
      >>> from gdmethods.rules import Count, Momentum, Rate, Signed, optimizer
      >>> class HeavyBallState(NamedTuple):
      ...     count: Count
      ...     velocity: Signed
      >>> @optimizer(HeavyBallState)
      ... def heavy_ball(g, s, learning_rate: Rate, momentum: Momentum = 0.9):
      ...     s.velocity = momentum * s.velocity - learning_rate * g
      ...     return s.velocity
      >>> tx, w = heavy_ball(0.1), jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * w, tx.init(w), w)
      >>> print(updates)
      [-0.2  0.4]
    """
    register(state_type)

    def decorate(
        rule: Callable[Concatenate[jax.Array, LeafState, P], Any],
    ) -> Callable[P, Transformation]:
        parameters = [*inspect.signature(rule).parameters.values()][2:]
        made = _Optimizer(
            state_type, rule, declared(rule), parameters, starts or {}, eight_bits, once, weights
        )
        made.check()
        said = _reasons(rule.__name__) if reasons is None else reasons
        factory: Callable[P, Transformation] = refusing(said)(made.factory(rule))
        return factory

    return decorate


@dataclasses.dataclass(frozen=True)
class _Optimizer:
    """What `optimizer` was given, and what the rule that it decorates declares."""

    state_type: Any
    rule: Callable[..., Any]
    declared: dict[str, Declared]
    parameters: list[inspect.Parameter]
    starts: Any
    eight_bits: Any
    once: Any
    weights: Any

    def check(self) -> None:
        """Raises an error for a declaration that contradicts itself."""
        name, fields = self.rule.__name__, kinds(self.state_type)
        for both in self.declared.keys() & fields:
            raise TypeError(
                f"{both!r} is a field of {self.state_type.__name__} and a hyperparameter of "
                f"{name}. Give one of them another name."
            )
        if isinstance(self.eight_bits, str):
            raise TypeError(f"eight_bits must be a list of fields: [{self.eight_bits!r}].")
        if not (callable(self.starts) or isinstance(self.starts, Mapping)):
            raise TypeError(
                f"starts must be a dict from fields to numbers, or a function that returns one, "
                f"got {self.starts!r}."
            )
        if Kind.NUMBER in fields.values() and self.once is None:
            raise TypeError(
                f"{self.state_type.__name__} has a Number, which nothing renews. Give optimizer "
                "a function once(s, …) that assigns it."
            )
        if not self.weights and any(p.name == "mask" for p in self.parameters):
            raise TypeError(
                f"{name} has a mask, but reads no weights. Write optimizer(…, weights=True), or "
                "remove mask."
            )
        for function in filter(callable, (self.starts, self.eight_bits, self.weights)):
            for asked in _names(function):
                if asked not in self.declared:
                    raise TypeError(
                        f"{function.__name__} has a parameter {asked!r}, which is no "
                        f"hyperparameter of {name}: {', '.join(self.declared) or 'it has none'}."
                    )
        if self.once is not None and next(iter(_names(self.once)), "s") in self.declared:
            raise TypeError(
                f"{self.once.__name__} must be a function (s, …): the state comes first."
            )

    @property
    def rate(self) -> str:
        """The first hyperparameter, if it is a learning rate."""
        first = self.parameters[0].name if self.parameters else ""
        if first not in self.declared or not self.declared[first].is_rate:
            raise TypeError(
                f"The first hyperparameter of {self.rule.__name__} must be a Rate, got "
                f"{first or 'none'}. Put learning_rate: Rate first."
            )
        return first

    def factory(
        self, like: Any, fixed: Mapping[str, Any] | None = None, negative: bool = False
    ) -> Any:
        """The factory that is named as `like`, with some hyperparameters fixed."""
        fixed = fixed or {}
        signature = inspect.Signature(
            [
                p.replace(annotation=self.declared[p.name].says) if p.name in self.declared else p
                for p in self.parameters
                if p.name not in fixed
            ],
            return_annotation=Transformation,
        )

        def factory(*args: Any, **kwargs: Any) -> Transformation:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{public_name(like)}: {error}") from None
            given.apply_defaults()
            made = self.build(given.arguments, fixed)
            return negated(made) if negative else made

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(factory, name, getattr(like, name))
        factory.__signature__ = signature  # type: ignore[attr-defined]
        factory.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        factory.__annotations__ |= {"return": Transformation}
        factory._optimizer = self  # type: ignore[attr-defined]
        return factory

    def build(self, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> Method:
        """The transformation of one choice of hyperparameters."""
        free = {name: each for name, each in self.declared.items() if name not in fixed}
        values = {**checked(given, free), **fixed}
        starts = _called(self.starts, values)  # first, since it may refuse
        dtype = values.get("accumulator_dtype")
        slots = Slots(self.state_type, dtype, _called(self.eight_bits, values), **starts)
        mask = True if given.get("mask") is None else known_before_compilation(given["mask"])
        reads_weights = _called(self.weights, values)
        stored = {"accumulator_dtype": slots.dtype} if "accumulator_dtype" in values else {}

        def rule(count: jax.Array, computed: Mapping[str, Any]) -> Rule:
            numbers = {
                name: computed[name] if name in computed else at(value, count)
                for name, value in values.items()
            }
            return Rule(self.rule, **numbers | stored)

        def once(s: StepState, **extra_args: Any) -> None:
            if self.once is None:
                return
            result = _called(self.once, {**extra_args, **values}, s, hyperparameters=values)
            if result is not None:
                raise TypeError(
                    f"{self.once.__name__} returned {result!r}. It assigns what it computes: "
                    "s.name = …."
                )

        return method(slots, rule, once, mask if reads_weights else None)


def _reasons(name: str) -> Mapping[str, str]:
    """By option that a rule does not declare, the end of the error message."""
    return ELSEWHERE | {
        "weight_decay": f"which gdmethods.adamw has, and gdmethods.rules.decayed({name}, …)",
        "mask": "which gdmethods.adamw has, and a rule that says optimizer(…, weights=True)",
        "accumulator_dtype": "which a rule has that declares it: add *, accumulator_dtype=None",
    }


def _names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _called(
    function: Any, values: Mapping[str, Any], *args: Any, hyperparameters: Collection[str] = ()
) -> Any:
    """The function's result for the values that its parameters name; other things as they are."""
    if not callable(function):
        return function
    parameters = [*inspect.signature(function).parameters.values()][len(args) :]
    for parameter in parameters:
        if parameter.name not in values and parameter.default is parameter.empty:
            known = ", ".join(hyperparameters) or "there are none"
            raise ValueError(
                f"{function.__name__} needs {parameter.name!r}, which is no hyperparameter "
                f"({known}). If it is an argument of update, call tx.update(grads, state, params, "
                f"{parameter.name}=…)."
            )
    return function(*args, **{p.name: values[p.name] for p in parameters if p.name in values})


def _optimizer_of(factory: Any) -> _Optimizer:
    made: _Optimizer | None = getattr(factory, "_optimizer", None)
    if made is None:
        if is_transformation(factory):
            raise TypeError("Pass the factory itself, such as lion, and not what lion(…) returns.")
        name = getattr(factory, "__name__", repr(factory))
        raise TypeError(f"{name} was not made by gdmethods.rules.optimizer.")
    return made


@overload
def core(
    factory: Callable[Concatenate[ScalarOrSchedule, P], Transformation],
    doc: str = ...,
    *,
    name: str = ...,
    rate: float = ...,
    **fixed: Any,
) -> Callable[P, Transformation]: ...
@overload
def core(
    factory: Callable[P, Transformation],
    doc: str = ...,
    *,
    name: str = ...,
    rate: None,
    **fixed: Any,
) -> Callable[P, Transformation]: ...
def core(
    factory: Any, doc: str = "", *, name: str = "", rate: float | None = 1.0, **fixed: Any
) -> Any:
    """The direction of an optimizer, for a chain that ends with a learning rate.

        scale_by_lion = core(lion)

    It is −Δ at η = 1, where η is the first hyperparameter of the factory.

    Arguments:
      factory: what `optimizer` made.
      doc: the docstring.
      name: the core's name; by default "scale_by_" and the factory's name.
      rate: η. −1 makes a core that gets −ηₜ gₜ from the chain before it and
        returns Δ. None is for a factory whose first hyperparameter is no such
        rate: the core keeps this hyperparameter, and returns −Δ.
      **fixed: values of other hyperparameters, which the core then lacks.

    Returns:
      The factory of the core.

    Raises:
      TypeError: `optimizer` did not make `factory`.

    Example:
      >>> import gdmethods, optax
      >>> from gdmethods.rules import core
      >>> scale_by_adam = core(gdmethods.adam)
      >>> tx = optax.chain(scale_by_adam(b1=0.8), optax.scale(-0.1))
    """
    made = _optimizer_of(factory)
    for option in fixed.keys() - made.declared.keys():
        raise TypeError(f"core fixes {option!r}, which {factory.__name__} does not have.")
    if rate is not None:
        fixed = {made.rate: rate} | fixed

    name = name or f"scale_by_{factory.__name__}"
    doc = doc or (
        f"The direction of `{factory.__name__}`, for a chain that ends with a learning rate.\n\n"
        f"    It is −Δ at η = 1. Arguments, state and errors are those of `{factory.__name__}`.\n"
    )
    like = _named(name, factory.__module__, doc)
    return refusing()(made.factory(like, fixed, negative=rate is None or rate > 0))


def decayed(
    factory: Callable[..., Transformation],
    weight_decay: float | None = 1e-4,
    doc: str = "",
    *,
    name: str = "",
) -> Callable[..., Transformation]:
    """An optimizer whose weights decay beside its rule.

        Δₜ − ηₜ λ wₜ

    η is the first hyperparameter of the factory, and λ a new one,
    `weight_decay`. `mask` selects the weights that decay, as in
    `gdmethods.adamw`. The decay is no part of the gradient, so that it is the
    same for weights of large and of small gradients.

    Arguments:
      factory: what `optimizer` made; its rule reads no weights.
      weight_decay: the default of λ.
      doc: the docstring.
      name: the new factory's name; by default that of `factory` and "w".

    Returns:
      The factory.

    Raises:
      TypeError: `optimizer` did not make `factory`, or its rule reads the
        weights.

    Example:
      >>> import gdmethods, jax.numpy as jnp
      >>> from gdmethods.rules import decayed
      >>> rmspropw = decayed(gdmethods.rmsprop, 0.5)
      >>> tx, w = rmspropw(0.1), jnp.array([1.0, 2.0])
      >>> updates, state = tx.update(jnp.zeros(2), tx.init(w), w)
      >>> print(updates)
      [-0.05 -0.1 ]
    """
    made = _optimizer_of(factory)
    if made.weights:
        raise TypeError(
            f"The rule of {factory.__name__} reads the weights. Write the decay into the rule: "
            "− learning_rate * weight_decay * s.w."
        )
    rate = made.rate

    def rule(g: jax.Array, s: LeafState, *, weight_decay: Any, **others: Any) -> jax.Array:
        displacement: jax.Array = weightless(made.rule)(g, s, **others)
        decay: jax.Array = others[rate] * weight_decay * s.w
        return displacement - decay

    positional = [p for p in made.parameters if p.kind is not p.KEYWORD_ONLY]
    own = [
        inspect.Parameter("weight_decay", inspect.Parameter.KEYWORD_ONLY, default=weight_decay),
        inspect.Parameter("mask", inspect.Parameter.KEYWORD_ONLY, default=None),
    ]
    decay = hyperparameter("weight_decay", NonNegativeOrNone)
    decaying = dataclasses.replace(
        made,
        rule=rule,
        declared=made.declared | {"weight_decay": decay},
        parameters=[*positional, *own, *made.parameters[len(positional) :]],
        weights=True,
    )
    name = name or f"{factory.__name__}w"
    doc = doc or (
        f"`{factory.__name__}` with decoupled weight decay.\n\n"
        f"    Δₜ is that of `{factory.__name__}` − ηₜ λ wₜ, where λ is weight_decay, and 0 for\n"
        "    weights that `mask` leaves out. The mask is a tree of bools like the\n"
        "    parameters or a prefix of it, or a function that returns one from them.\n"
    )
    return refusing()(decaying.factory(_named(name, factory.__module__, doc)))


def _named(name: str, module: str, doc: str) -> Any:
    """Something with this name and docstring."""

    def like() -> None: ...

    like.__name__ = like.__qualname__ = name
    like.__module__, like.__doc__ = module, doc
    return like


def rule_of(
    factory: Callable[P, Transformation],
) -> Callable[Concatenate[jax.Array, LeafState, P], jax.Array]:
    """The rule of a factory, for a rule around it.

        displacement = rule_of(adam)(g, s, learning_rate, b1, b2)

    The inner rule stores its slots in s. So the outer rule's state must have
    these slots, and its `once` must compute the numbers that the inner rule
    reads.

    Arguments:
      factory: what `optimizer` made.

    Raises:
      TypeError: `optimizer` did not make `factory`.
    """
    made = _optimizer_of(factory)
    return made.rule if made.weights else weightless(made.rule)
