"""`--methods`: expressions such as `optax.lion, momentum(momentum=0.99), my_rules:lion`.

A method is any importable factory that takes a `learning_rate`, called with the arguments given
here. Arguments are literals, names, or calls themselves, as
`momentum=gdmethods.sutskever_momentum_schedule()`. Nothing else is evaluated. A learning rate may
be given, too, as in `sgd(learning_rate=0.1)`. Then it is not tuned.
"""

import ast
import dataclasses
import functools
import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

import gdmethods
from gdmethods._programs.imports import imported
from gdmethods.study.styles import without_modules

DEFAULT = (
    "gdmethods.sgd, gdmethods.momentum, gdmethods.nesterov, "
    "gdmethods.adaptive_gains(momentum=0.9, agreement='velocity'), gdmethods.adagrad, "
    "gdmethods.adadelta, gdmethods.rprop, gdmethods.rmsprop, gdmethods.adam"
)

# States whose weights to evaluate are not those that the gradient is taken at.
_EVAL_PARAMS: dict[type, Callable[[Any, Any], Any]] = {
    gdmethods.NesterovState: gdmethods.nesterov_eval_params,
    optax.contrib.ScheduleFreeState: optax.contrib.schedule_free_eval_params,
}


_COLON = re.compile(r"((?:^|,)\s*[\w.]+):(?=[^\W\d])")  # of module:attribute


class MethodError(ValueError):
    """A method that is named is not there, or is no factory of optimizers."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A factory and its arguments.

    Attributes:
      text: the expression.
      factory: from the learning rate, and what is tuned, to the optimizer.
      versions: of the package that the factory comes from, by its name.
      bound: names of the arguments that the expression gives, but for the learning rate.
      rate: the learning rate that the expression gives; None where it is tuned.
      short: the expression without the learning rate.
    """

    text: str
    factory: Callable[..., optax.GradientTransformationExtraArgs]
    versions: Mapping[str, str]
    bound: frozenset[str]
    rate: float | None
    short: str

    def optimizer(self, **arguments: Any) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(self.factory(**arguments))

    def tunable(self, tune: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """The arguments to tune that the factory has, with where they start.

        That is their default, or the first value where the default is no number.
        """
        parameters = inspect.signature(self.factory).parameters
        defaults = {
            name: parameters[name].default
            for name in tune
            if name in parameters and name not in self.bound
        }
        return {
            name: float(default if isinstance(default, int | float) else tune[name][0])
            for name, default in defaults.items()
        }


def eval_params(opt_state: Any, params: Any) -> Any:
    """The weights to measure: those at hand, unless the method keeps others."""
    kinds = tuple(_EVAL_PARAMS)
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, kinds):
            return _EVAL_PARAMS[type(node)](opt_state, params)
    return params


def parse(given: str | Sequence[str | Callable[..., Any]]) -> list[Method]:
    """The methods of a list in words, or of a list of expressions and factories.

    A `MethodError` says what is wrong with one.
    """
    found = [
        method
        for each in ([given] if isinstance(given, str) else given)
        for method in (_parsed(each) if isinstance(each, str) else [_own(each)])
    ]
    texts = [method.text for method in found]
    for text in texts:
        if texts.count(text) > 1:
            raise MethodError(f"{text} is there twice")
    return found


def labels(methods: Sequence[Method]) -> dict[str, str]:
    """The expressions for tables and pictures, as short as tells them apart.

    Learning rates are left out, and the modules of packages.
    """
    forms = []
    for method in methods:
        short, text = (each.removeprefix("gdmethods.") for each in (method.short, method.text))
        forms.append([without_modules(short), short, without_modules(text)])
    alike = [*zip(*forms, strict=True)]
    return {
        method.text: next(
            (form for form, others in zip(its, alike, strict=True) if others.count(form) == 1),
            method.text,
        )
        for method, its in zip(methods, forms, strict=True)
    }


def _own(factory: Callable[..., Any]) -> Method:
    name = getattr(factory, "__qualname__", repr(factory))
    return _made(f"{getattr(factory, '__module__', '__main__')}.{name}", factory, {})


def _parsed(text: str) -> list[Method]:
    for opening, closing in ("()", "[]", "{}"):
        if (opened := text.count(opening)) != (closed := text.count(closing)):
            bracket, lacking = (opening, "closed") if opened > closed else (closing, "opened")
            raise MethodError(f"{text!r} has a {bracket!r} that is not {lacking}")
    dotted = _COLON.sub(r"\1.", text.strip().rstrip(","))
    try:
        body = ast.parse(f"[{dotted}]", mode="eval").body
    except SyntaxError:
        raise MethodError(
            f"{text!r} is no list of factories; write, for example, "
            "optax.lion, momentum(momentum=0.99)"
        ) from None
    if not isinstance(body, ast.List) or not body.elts:
        raise MethodError(f"{text!r} names no method; the default is {DEFAULT}")
    return [_method(node) for node in body.elts]


def _method(node: ast.expr) -> Method:
    target, arguments = (node.func, _keywords(node)) if isinstance(node, ast.Call) else (node, {})
    path, factory = _path(target), _imported(target)
    text = path + ast.unparse(node).removeprefix(ast.unparse(target))
    rate = arguments.pop("learning_rate", None)
    if rate is None:
        return _made(text, factory, arguments)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise MethodError(
            f"{text}: learning_rate must be a positive number; for a schedule, write a factory of "
            "your own that takes its scale as learning_rate"
        )
    assert isinstance(node, ast.Call)
    node.keywords = [keyword for keyword in node.keywords if keyword.arg != "learning_rate"]
    others = ast.unparse(node).removeprefix(ast.unparse(target)) if arguments else ""
    made = _made(path + others, factory, arguments)
    return dataclasses.replace(made, text=text, rate=float(rate))


def _made(text: str, factory: Any, arguments: dict[str, Any]) -> Method:
    if not callable(factory):
        raise MethodError(f"{text} is no factory of optimizers, but {factory!r}")
    try:
        inspect.signature(factory).bind_partial(learning_rate=0.1, **arguments)
    except TypeError as error:
        raise MethodError(
            f"{text} cannot be called with a learning_rate ({error}); write a factory of your own "
            "that takes one, in an importable module"
        ) from None
    package = sys.modules.get(text.split(".")[0])
    version = getattr(package, "__version__", None)
    return Method(
        text,
        functools.partial(factory, **arguments),
        {package.__name__: str(version)} if package and version else {},
        frozenset(arguments),
        rate=None,
        short=text,
    )


def _path(node: ast.expr) -> str:
    """A bare name is one of gdmethods."""
    return f"gdmethods.{node.id}" if isinstance(node, ast.Name) else ast.unparse(node)


def _imported(node: ast.expr) -> Any:
    try:
        return imported(_path(node))
    except ImportError as error:
        raise MethodError(f"{error}; write, for example, optax.adamw") from error


def _keywords(node: ast.Call) -> dict[str, Any]:
    text = ast.unparse(node)
    if node.args:
        raise MethodError(f"{text} has an argument without a name; write name=value")
    if any(keyword.arg is None for keyword in node.keywords):
        raise MethodError(f"{text} has ** in it; write each argument as name=value")
    return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        try:
            return _imported(node.func)(**_keywords(node))
        except (TypeError, ValueError) as error:
            raise MethodError(f"{ast.unparse(node)}: {error}") from None
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _imported(node)
