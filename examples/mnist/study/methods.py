"""`--methods`: expressions such as `optax.lion, gdmethods.momentum(momentum=0.99)`.

A method is any importable factory that takes a `learning_rate`, called with the arguments given
here. Arguments are literals, names, or calls themselves, as
`momentum=gdmethods.sutskever_momentum_schedule()`. Nothing else is evaluated.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import jax
import optax

import gdmethods

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


class MethodError(ValueError):
    """What `--methods` names is not there, or is no factory of optimizers."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A factory and its arguments.

    Attributes:
      text: the expression.
      factory: from the learning rate to the optimizer.
      versions: of the package that the factory comes from, by its name.
    """

    text: str
    factory: Callable[..., optax.GradientTransformationExtraArgs]
    versions: dict[str, str]

    @property
    def label(self) -> str:
        return self.text.removeprefix("gdmethods.")

    def optimizer(self, learning_rate: Any) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(self.factory(learning_rate=learning_rate))


def eval_params(opt_state: Any, params: Any) -> Any:
    """The weights to measure: those at hand, unless the method keeps others."""
    kinds = tuple(_EVAL_PARAMS)
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kinds)):
        if isinstance(node, kinds):
            return _EVAL_PARAMS[type(node)](opt_state, params)
    return params


def parse(text: str) -> list[Method]:
    """The methods of a command line; a `MethodError` says what is wrong with one."""
    try:
        body = ast.parse(f"[{text.strip().rstrip(',')}]", mode="eval").body
    except SyntaxError as error:
        raise MethodError(
            f"{text!r} is no list of factories ({error.msg}); write, for example, "
            "optax.lion,gdmethods.momentum(momentum=0.99)"
        ) from None
    if not isinstance(body, ast.List) or not body.elts:
        raise MethodError(f"{text!r} names no method; the default is {DEFAULT}")
    methods = [_method(node) for node in body.elts]
    return list({method.text: method for method in methods}.values())


def _method(node: ast.expr) -> Method:
    text = _spelled(node)
    if isinstance(node, ast.Call):
        target, arguments = node.func, _keywords(node)
    else:
        target, arguments = node, {}
    factory = _imported(target)
    if not callable(factory):
        raise MethodError(f"{text} is no factory of optimizers, but {factory!r}")
    try:
        inspect.signature(factory).bind_partial(learning_rate=0.1, **arguments)
    except TypeError as error:
        raise MethodError(
            f"{text} cannot be called with a learning_rate ({error}); write a factory of your own "
            "that takes one, in an importable module"
        ) from None
    package = sys.modules[_path(target).split(".")[0]]
    version = getattr(package, "__version__", None)
    return Method(
        text,
        functools.partial(factory, **arguments),
        {package.__name__: version} if version else {},
    )


def _spelled(node: ast.expr) -> str:
    """As the expression is shown and stored: whole paths, one way of spacing."""
    spelled = ast.unparse(node)
    return spelled if "." in spelled.split("(")[0] else f"gdmethods.{spelled}"


def _path(node: ast.expr) -> str:
    path = ast.unparse(node)
    return path if "." in path else f"gdmethods.{path}"


def _imported(node: ast.expr) -> Any:
    """What a dotted path names; a bare name is one of gdmethods."""
    path = _path(node)
    if not all(part.isidentifier() for part in path.split(".")):
        raise MethodError(f"{path!r} is no importable name; write, for example, optax.adamw")
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{module}.".startswith(f"{error.name}."):
                continue
            raise
        for part in parts[end:]:
            if not hasattr(found, part):
                raise MethodError(f"{module} has no {'.'.join(parts[end:])}")
            found = getattr(found, part)
        return found
    raise MethodError(f"{path!r} cannot be imported; no module {parts[0]!r} is installed")


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
