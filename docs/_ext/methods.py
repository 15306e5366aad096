"""What a method's page takes from the library: the lines of its rule, and what it costs.

```{rule} gdmethods.adam
```

```{costs} adam(0.1)
```
"""

import ast
import inspect
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
from docstrings import imported, written
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import gdmethods

WEIGHTS = 1024
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
    """Bytes of state, and bytes that a step must move, for each configuration that is listed."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        configurations = [line for line in self.content if line.strip()]
        head = ["weights", "accumulators", "state", "moved in a step"]
        if len(configurations) > 1:
            head.insert(0, "method")
        rows = [
            [nodes.literal("", configuration), *row][-len(head) :]
            for configuration in configurations
            for row in costs(configuration)
        ]
        return [table(head, rows)]


def costs(configuration: str) -> list[list[nodes.Node]]:
    """A row for each dtype of weights and of accumulators that makes a difference."""
    rows, before = [], None
    for weights in ("float32", "bfloat16"):
        w = jax.ShapeDtypeStruct((WEIGHTS,), weights)
        for said, dtype in DTYPES.items():
            options = {} if dtype is None else {"accumulator_dtype": dtype}
            name, _, arguments = configuration.partition("(")
            try:
                tx = eval(f"make({arguments}", {"make": made(name, options)})
            except TypeError:  # it keeps nothing that could be narrower
                continue
            leaves = jax.tree.leaves(jax.eval_shape(tx.init, w))
            state = sum(leaf.dtype.itemsize for leaf in leaves if leaf.shape)
            if before == (weights, state):  # "8bit" is bfloat16 here
                continue
            before = weights, state
            width = w.dtype.itemsize
            moved = width + 2 * (width + state)  # gradient; weight and state, twice
            texts = [weights, said if state else "none", f"{state}", f"{moved}"]
            rows.append([nodes.Text(text) for text in texts])
    return rows


def made(name: str, options: dict[str, Any]) -> Any:
    return lambda *args, **kwargs: getattr(gdmethods, name)(*args, **kwargs, **options)


def table(head: list[str], rows: list[list[nodes.Node]]) -> nodes.table:
    def row(entries: list[nodes.Node]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", x)) for x in entries))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row([nodes.Text(name) for name in head]))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("rule", Rule)
    app.add_directive("costs", Costs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
