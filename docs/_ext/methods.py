"""What a method's page takes from the library: the lines of its rule, and what it costs.

```{rule} gdmethods.adam
```

```{costs} adam(0.1)
```
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from docstrings import imported, written
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import gdmethods

WEIGHTS = {"float32": 4, "bfloat16": 2}
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16, '"8bit"': "8bit"}


class Rule(SphinxDirective):
    """The body of a function, without its docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        function = written(imported(self.arguments[0]))
        file = inspect.getsourcefile(function)
        assert file is not None
        self.env.note_dependency(file)
        lines, _ = inspect.getsourcelines(function)
        (definition,) = ast.parse(textwrap.dedent("".join(lines))).body
        assert isinstance(definition, ast.FunctionDef)
        body = definition.body[1:] if ast.get_docstring(definition) else definition.body
        code = textwrap.dedent("".join(lines[body[0].lineno - 1 :])).rstrip()
        return [nodes.literal_block(code, code, language="python")]


class Costs(SphinxDirective):
    """Bytes a weight of state, and those that a step must move, of each configuration listed."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        configurations = [each for each in self.content if each.strip()]
        lines = [
            "| method | accumulators | state | moved, float32 weights | moved, bfloat16 weights |",
            "|---|---|---|---|---|",
            *(row for each in configurations for row in costs(each)),
            "",
            "In bytes a weight; "
            "[how they are counted](/learn/index.md#how-the-bytes-are-counted).",
        ]
        return self.parse_text_to_nodes("\n".join(lines))


def costs(configuration: str) -> Iterator[str]:
    """A row for each `accumulator_dtype` that makes a difference."""
    method, before = f"`{configuration}`", None
    for said, dtype in DTYPES.items():
        options = {} if dtype is None else {"accumulator_dtype": dtype}
        name, _, arguments = configuration.partition("(")
        try:
            tx = eval(f"make({arguments}", {"make": made(name, options)})
        except TypeError:  # it keeps nothing that could be narrower
            continue
        (state,) = {bytes_a_weight(tx, weights) for weights in WEIGHTS}
        if state == before:  # "8bit" is bfloat16 here
            continue
        # A step reads gradient, weight and state, and writes weight and state.
        moved = " | ".join(f"{size + 2 * (size + state)}" for size in WEIGHTS.values())
        yield f"| {method} | {said if state else 'none'} | {state} | {moved} |"
        method, before = "", state


def bytes_a_weight(tx: Any, weights: str) -> int:
    state = jax.eval_shape(tx.init, jax.ShapeDtypeStruct((1024,), weights))
    return sum(leaf.dtype.itemsize for leaf in jax.tree.leaves(state) if leaf.shape)


def made(name: str, options: dict[str, Any]) -> Any:
    return lambda *args, **kwargs: getattr(gdmethods, name)(*args, **kwargs, **options)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("rule", Rule)
    app.add_directive("costs", Costs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
