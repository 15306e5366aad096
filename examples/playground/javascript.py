"""A function of JAX on scalars, as JavaScript that computes the same in float64.

JAX traces the function to a list of elementary operations, its jaxpr, and each becomes a line.
JavaScript's numbers hold float64, the narrow integers and bools as they are; int64, which a sign
looks at the bits by, is a BigInt.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

HELPERS = """\
const bytes = new DataView(new ArrayBuffer(8));
const bitsOf = x => (bytes.setFloat64(0, x), bytes.getBigInt64(0));
"""

_OPERATIONS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "lt": "{0} < {1}",
    "gt": "{0} > {1}",
    "eq": "{0} === {1}",
    "ne": "{0} !== {1}",
    "max": "Math.max({0}, {1})",
    "min": "Math.min({0}, {1})",
    "clamp": "Math.min(Math.max({1}, {0}), {2})",
    "select_n": "{0} ? {2} : {1}",
    "sqrt": "Math.sqrt({0})",
    "expm1": "Math.expm1({0})",
    "log": "Math.log({0})",
}
_OF_INT64 = {"sign": "{0} > 0n ? 1n : {0} < 0n ? -1n : 0n"} | {
    name: _OPERATIONS[name] for name in ("eq", "select_n")
}
_KNOWN_DTYPES = ("bool", "int8", "int32", "int64", "float64")


def function(f: Callable[..., Any], **arguments: Any) -> str:
    """`f(**arguments)` as an arrow function of the same arguments, in their order.

    Arguments:
      f: of scalars, in trees. A NamedTuple or a dict is an object in JavaScript,
        a tuple or a list is an array.
      arguments: examples of them, which give their trees and dtypes.

    Raises:
      NotImplementedError: `f` has an operation or a dtype that is not translated.
    """
    with jax.enable_x64(True):
        traced, shapes = jax.make_jaxpr(lambda a: f(**a), return_shape=True)(arguments)
        leaves = jax.tree.leaves_with_path(arguments)
    names = [
        f"{path[0].key}{jax.tree_util.keystr(path[1:])}"
        for path, _ in leaves  # `state.mu`, `hyper['b1']`: JavaScript writes both alike
    ]
    lines: list[str] = []
    fresh = (f"x{i}" for i in itertools.count())
    results = _translate(traced, names, fresh, lines)
    returned = _written(jax.tree.unflatten(jax.tree.structure(shapes), results))
    body = "".join(f"  {line}\n" for line in [*lines, f"return {returned};"])
    return f"({', '.join(arguments)}) => {{\n{body}}}"


def _translate(closed: Any, names: list[str], fresh: Iterator[str], lines: list[str]) -> list[str]:
    """Appends the lines of a jaxpr whose inputs have these names, and returns its outputs'."""
    jaxpr = getattr(closed, "jaxpr", closed)
    constants = [_literal(x) for x in getattr(closed, "consts", [])]
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *names], strict=True))

    def name_of(x: Any) -> str:
        return _literal(x.val) if hasattr(x, "val") else known[x]

    for equation in jaxpr.eqns:
        inputs = [name_of(x) for x in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if inner is not None:
            known |= zip(equation.outvars, _translate(inner, inputs, fresh, lines), strict=True)
            continue
        if equation.primitive.name == "optimization_barrier":
            known |= zip(equation.outvars, inputs, strict=True)
            continue
        (output,) = equation.outvars
        expression = _expression(equation, inputs)
        if expression in inputs:
            known[output] = expression
        else:
            known[output] = next(fresh)
            lines.append(f"const {known[output]} = {expression};")
    return [name_of(x) for x in jaxpr.outvars]


def _expression(equation: Any, inputs: list[str]) -> str:
    primitive, *dtypes = [
        equation.primitive.name,
        *(str(x.aval.dtype) for x in [*equation.outvars, *equation.invars]),
    ]
    if unknown := {*dtypes} - {*_KNOWN_DTYPES}:
        raise NotImplementedError(f"{primitive} of {', '.join(sorted(unknown))} in JavaScript")
    to, *of = dtypes
    if primitive == "convert_element_type":
        return _converted(inputs[0], of[0], to)
    if primitive == "bitcast_convert_type" and (of, to) == (["float64"], "int64"):
        return f"bitsOf({inputs[0]})"
    operations = _OF_INT64 if "int64" in of else _OPERATIONS
    if primitive not in operations:
        raise NotImplementedError(f"{primitive} of {', '.join(of)} in JavaScript")
    return operations[primitive].format(*inputs)


def _converted(x: str, of: str, to: str) -> str:
    if of == to or (of, to) in {("int8", "int32"), ("int8", "float64"), ("int32", "float64")}:
        return x
    if of in ("bool", "int64") and to != "int64":
        return f"Number({x})"
    if of == "float64" and to in ("int8", "int32"):
        return f"Math.trunc({x})"
    raise NotImplementedError(f"{of} to {to} in JavaScript")


def _literal(value: Any) -> str:
    array = np.asarray(value)
    if array.dtype == bool:
        return json.dumps(bool(array))
    if jnp.issubdtype(array.dtype, jnp.integer):
        text = f"{int(array)}n" if array.dtype == np.int64 else f"{int(array)}"
    else:
        text = json.dumps(float(array))  # Infinity and NaN as JavaScript has them
    return f"({text})" if text.startswith("-") else text


def _written(tree: Any) -> str:
    """A tree of names as JavaScript."""
    if tree is None:
        return "null"
    if isinstance(tree, str):
        return tree
    if hasattr(tree, "_asdict"):
        tree = tree._asdict()
    if isinstance(tree, dict):
        return f"{{ {', '.join(f'{key}: {_written(value)}' for key, value in tree.items())} }}"
    return f"[{', '.join(map(_written, tree))}]"
