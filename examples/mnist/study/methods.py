"""`--methods`: expressions such as `optax.lion, gdmethods.momentum(momentum=0.99)`.

A method is any importable factory that takes a `learning_rate`, called with the arguments given
here. Arguments are literals, names, or calls themselves, as
`momentum=gdmethods.sutskever_momentum_schedule()`. Nothing else is evaluated.
"""

import ast
import dataclasses
import functools
import inspect
import pkgutil
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
    texts = [method.text for method in methods]
    for text in texts:
        if texts.count(text) > 1:
            raise MethodError(f"{text} is there twice")
    return methods


def _method(node: ast.expr) -> Method:
    target, arguments = (node.func, _keywords(node)) if isinstance(node, ast.Call) else (node, {})
    path = _path(target)
    text = path + ast.unparse(node).removeprefix(ast.unparse(target))
    if "learning_rate" in arguments:
        raise MethodError(f"{text} has a learning rate already; the study chooses it")
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
    package = sys.modules[path.split(".")[0]]
    version = getattr(package, "__version__", None)
    return Method(
        text,
        functools.partial(factory, **arguments),
        {package.__name__: version} if version else {},
    )


def _path(node: ast.expr) -> str:
    """A bare name is one of gdmethods."""
    return f"gdmethods.{node.id}" if isinstance(node, ast.Name) else ast.unparse(node)


def _imported(node: ast.expr) -> Any:
    path = _path(node)
    try:
        return pkgutil.resolve_name(path)
    except ValueError:
        raise MethodError(
            f"{path!r} is no importable name; write, for example, optax.adamw"
        ) from None
    except (ImportError, AttributeError) as error:
        raise MethodError(f"{path} cannot be imported ({error})") from None


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
