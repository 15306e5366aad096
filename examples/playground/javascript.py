"""A function of JAX on scalars, as JavaScript that computes the same numbers.

JAX traces the function to a list of elementary operations, its jaxpr, and each becomes a line.
JavaScript's numbers are float64. They hold narrower floats, integers of up to 32 bits and bools as
they are, and an operation rounds to its dtype. int64, for the bits of a sign, is a BigInt.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

HELPERS = """\
const bytes = new DataView(new ArrayBuffer(8));
const int64Of = x => (bytes.setFloat64(0, x), bytes.getBigInt64(0));
const uint32Of = x => (bytes.setFloat32(0, x), bytes.getUint32(0));
const int32Of = x => (bytes.setFloat32(0, x), bytes.getInt32(0));
const int16Of = x => (bytes.setFloat32(0, x), bytes.getInt16(0));  // a bfloat16's bits
const float32Of = x => (bytes.setUint32(0, x), bytes.getFloat32(0));
const bfloat16 = x => {  // to nearest, ties to even; NaN stays
  const bits = uint32Of(x);
  return x === x ? float32Of((bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000) >>> 0) : x;
};
"""

_ARITHMETIC = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "sqrt": "Math.sqrt({0})",
    "square": "{0} * {0}",
}
_EXACT = {
    "neg": "-{0}",
    "abs": "Math.abs({0})",
    "floor": "Math.floor({0})",
    "lt": "{0} < {1}",
    "gt": "{0} > {1}",
    "eq": "{0} === {1}",
    "ne": "{0} !== {1}",
    "max": "Math.max({0}, {1})",
    "min": "Math.min({0}, {1})",
    "clamp": "Math.min(Math.max({1}, {0}), {2})",
    "select_n": "{0} ? {2} : {1}",
}
# Of float32 and narrower, float64's result is rounded: the same as computed in float32 at once.
_OPERATIONS = {
    "float64": _ARITHMETIC | _EXACT | {"expm1": "Math.expm1({0})", "log": "Math.log({0})"},
    "float32": {name: f"Math.fround({text})" for name, text in _ARITHMETIC.items()} | _EXACT,
    "bfloat16": {name: f"bfloat16(Math.fround({text}))" for name, text in _ARITHMETIC.items()}
    | _EXACT,
    "int32": {"add": "({0} + {1} | 0)", "sub": "({0} - {1} | 0)", "shift_left": "{0} << {1}"}
    | {"sign": "Math.sign({0})"}
    | _EXACT,
    "int16": {"and": "{0} & {1}"} | _EXACT,
    "int8": _EXACT,
    "uint8": _EXACT,
    "uint32": _EXACT
    | {
        "add": "({0} + {1} >>> 0)",
        "mul": "(Math.imul({0}, {1}) >>> 0)",
        "xor": "({0} ^ {1}) >>> 0",
        "and": "({0} & {1}) >>> 0",
        "or": "({0} | {1}) >>> 0",
        "shift_left": "({0} << {1}) >>> 0",
        "shift_right_logical": "{0} >>> {1}",
    },
    "int64": {
        "eq": _EXACT["eq"],
        "sign": "{0} > 0n ? 1n : {0} < 0n ? -1n : 0n",
        "select_n": _EXACT["select_n"],
    },
}
_BITS = {
    ("float64", "int64"): "int64Of({0})",
    ("float32", "uint32"): "uint32Of({0})",
    ("uint32", "float32"): "float32Of({0})",
    ("uint32", "int32"): "{0} | 0",
    ("float32", "int32"): "int32Of({0})",
    ("int32", "float32"): "float32Of({0})",
    ("bfloat16", "int16"): "int16Of({0})",
}
_NO_PLATFORM = "no platform"  # of a choice by platform, JavaScript takes the last, which fits all
_WITHIN = {  # what holds all values of another
    ("int8", "int32"),
    ("int8", "float32"),
    ("uint8", "uint32"),
    ("int16", "int32"),
    ("int8", "float64"),
    ("int32", "float64"),
    ("float32", "float64"),
    ("bfloat16", "float32"),
    ("bfloat16", "float64"),
}
_CONVERSIONS = dict.fromkeys(_WITHIN, "{0}") | {
    ("bool", "float64"): "Number({0})",
    ("int64", "float64"): "Number({0})",
    ("float32", "int8"): "Math.trunc({0})",
    ("float64", "int8"): "Math.trunc({0})",
    ("float64", "int32"): "Math.trunc({0})",
    ("float64", "float32"): "Math.fround({0})",
    ("int32", "float32"): "Math.fround({0})",
    ("int32", "uint32"): "{0} >>> 0",
    ("int32", "uint8"): "{0} & 255",
    ("int32", "int16"): "{0} << 16 >> 16",
    ("int64", "int32"): "Number(BigInt.asIntN(32, {0}))",
    ("int64", "int16"): "Number(BigInt.asIntN(16, {0}))",
    ("float32", "bfloat16"): "bfloat16({0})",
    ("float64", "bfloat16"): "bfloat16(Math.fround({0}))",
}


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
    lines: dict[str, str] = {}
    results = _translate(traced, names, lines)
    returned = _written(jax.tree.unflatten(jax.tree.structure(shapes), results))
    body = "".join(f"  const {name} = {expression};\n" for expression, name in lines.items())
    return f"({', '.join(arguments)}) => {{\n{body}  return {returned};\n}}"


def _translate(closed: Any, names: list[str], lines: dict[str, str]) -> list[str]:
    """Adds the expressions of a jaxpr whose inputs have these names, and returns its outputs'.

    `lines` has each expression once, with its name.
    """
    jaxpr = getattr(closed, "jaxpr", closed)
    constants = [_literal(x) for x in getattr(closed, "consts", [])]
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *names], strict=True))

    def name_of(x: Any) -> str:
        return _literal(x.val) if hasattr(x, "val") else known[x]

    for equation in jaxpr.eqns:
        inputs = [name_of(x) for x in equation.invars]
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if equation.primitive.name == "cond" and inputs[0] == _NO_PLATFORM:
            inner, inputs = equation.params["branches"][-1], inputs[1:]
        if inner is not None:
            outputs = _translate(inner, inputs, lines)
        elif equation.primitive.name == "optimization_barrier":
            outputs = inputs
        else:
            expression = _expression(equation, inputs)
            plain = expression in inputs or expression == _NO_PLATFORM
            outputs = [expression if plain else lines.setdefault(expression, f"x{len(lines)}")]
        known |= zip(equation.outvars, outputs, strict=True)
    return [name_of(x) for x in jaxpr.outvars]


def _expression(equation: Any, inputs: list[str]) -> str:
    primitive = equation.primitive.name
    if primitive == "platform_index":
        return _NO_PLATFORM
    of = str(equation.invars[-1].aval.dtype)  # the first of a select_n is its bool
    to = str(equation.outvars[0].aval.dtype)
    if primitive == "convert_element_type":
        text = "{0}" if of == to else _CONVERSIONS.get((of, to))
    elif primitive == "bitcast_convert_type":
        text = _BITS.get((of, to))
    elif primitive == "reduce_precision":
        bits = equation.params["exponent_bits"], equation.params["mantissa_bits"]
        text = "bfloat16({0})" if (of, bits) == ("float32", (8, 7)) else None
    else:
        text = _OPERATIONS.get(of, {}).get(primitive)
    if text is None:
        raise NotImplementedError(f"{primitive} of {of} to {to} in JavaScript")
    return text.format(*inputs)


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
