"""Reference pages from the docstrings as they are: sections, equations, links, and none missing.

The docstrings are written for a terminal. Sections are those of `SECTIONS`; what is indented by
four is an equation; what is in backticks is code, and a link where it is a name that has a page.
"""

import ast
import dataclasses
import difflib
import importlib
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.intersphinx import missing_reference
from sphinx.util import logging

import gdmethods.rules

LOG = logging.getLogger(__name__)
SECTIONS = (
    "Arguments",
    "Attributes",
    "Returns",
    "Raises",
    "Warns",
    "Example",
    "Elsewhere",
    "Source",
)
SECTION = re.compile(rf"({'|'.join(SECTIONS)}):(?: (.*))?")
# Names as the signatures have them, and where they are documented.
FULL_NAMES = {
    **{name: f"gdmethods.rules.{name}" for name in gdmethods.rules.__all__},
    **{name: f"typing.{name}" for name in ("Annotated", "Any", "Concatenate", "Literal")},
    "ArrayLike": "numpy.typing.ArrayLike",
    "P": "typing.ParamSpec",
    "Path": "pathlib.Path",
    "Transformation": "optax.GradientTransformationExtraArgs",
    "jnp.dtype": "numpy.dtype",
    **{
        name: f"collections.abc.{name}"
        for name in ("Callable", "Collection", "Iterable", "Mapping", "Sequence")
    },
}


def inline(text: str) -> str:
    """Prose as reStructuredText: what is in backticks is code, all else literal characters."""

    def code(written: str) -> str:
        written = " ".join(written.split())
        name = re.fullmatch(r"[A-Za-z_][\w.]*\w", written)
        return f"\\ :py:obj:`{written}`\\ " if name else f"\\ ``{written}``\\ "

    parts = re.split(r"`([^`]+)`", text)
    parts[0::2] = [re.sub(r"([\\*|_])", r"\\\1", part) for part in parts[0::2]]
    parts[1::2] = map(code, parts[1::2])
    return "".join(parts)


def blocks(lines: list[str]) -> list[str]:
    """Paragraphs, lists and equations (indented by four), without sections."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        if block.startswith("    "):
            body = textwrap.indent(textwrap.dedent(block), "   ").splitlines()
            out += [".. code-block:: none", "   :class: equation", "", *body, ""]
        elif block.startswith(">>> "):
            out += example(block.splitlines())
        elif block.strip():
            out += [*inline(block).splitlines(), ""]
    return out


def example(lines: list[str]) -> list[str]:
    return [".. code-block:: pycon", "", *("   " + line for line in lines), ""]


def items(lines: list[str], role: str) -> list[str]:
    """`name: what it is` as a list of definitions."""
    out: list[str] = []
    for item in re.split(r"\n(?! )", "\n".join(lines).strip()):
        names, _, text = item.partition(": ")
        names = [role.format(name.strip(" *")) for name in names.split(",")]
        first, _, rest = text.partition("\n")
        body = blocks([first, *textwrap.dedent(rest).splitlines()])
        out += [", ".join(names), *("   " + line for line in body)]
    return out


def section(name: str, lines: list[str]) -> list[str]:
    """One section as a field, named as in the docstring."""
    if name == "Example":
        body = example(lines)
    elif name in ("Raises", "Warns"):
        body = items(lines, ":py:exc:`{}`")
    elif name in ("Arguments", "Attributes"):
        body = items(lines, "``{}``")
    else:
        body = blocks(lines)
    return field(name, body)


def field(name: str, body: list[str]) -> list[str]:
    return [f":{name}:", *("   " + line for line in body), ""]


def restructured(lines: list[str], name: str) -> list[str]:
    """A whole docstring as reStructuredText; `name` is whose it is."""
    out: list[str] = []
    plain: list[str] = []
    lines = [*lines, ""]
    at = 0
    while at < len(lines):
        found = SECTION.fullmatch(lines[at])
        at += 1
        if not found:
            plain.append(lines[at - 1])
            word = re.match(r"([A-Z]\w+):(.*)", lines[at - 1])
            if word and (not word[2] or difflib.get_close_matches(word[1], SECTIONS, cutoff=0.7)):
                LOG.warning("%s: %r is no section, but %s are", name, word[1], SECTIONS)
            continue
        out += blocks(plain)
        plain, body = [], [found[2]] if found[2] else []
        if found[2]:  # a paragraph that goes on until a blank line
            while lines[at].strip():
                body.append(lines[at])
                at += 1
        else:  # all that is indented
            while at < len(lines) and (lines[at].startswith("  ") or not lines[at].strip()):
                body.append(lines[at][2:])
                at += 1
        out += section(found[1], body)
    return out + blocks(plain)


def on_docstring(app, what, name, obj, options, lines):
    if isinstance(obj, Mapping):  # of functions, each of which says what it is
        said = [f"{key}: {inspect.getdoc(value).splitlines()[0]}" for key, value in obj.items()]
        lines[:] = field("Items", items(said, "``{}``"))
    elif what == "data" and inspect.getdoc(obj) == inspect.getdoc(type(obj)):
        lines.clear()  # a value has its type's docstring; the page says what it is
    else:
        lines[:] = restructured(lines, name)


def imported(name: str) -> Any:
    """What stands at a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def written(function: Any) -> Any:
    """The function of the source behind a public one: a factory's is its rule."""
    made = getattr(function, "_optimizer", None)
    return made.rule if made else inspect.unwrap(function)


def on_signature(app, what, name, obj, options, signature, returns):
    """Annotations and defaults as the source writes them, which no version of Python changes."""
    if inspect.isclass(obj):
        fields = getattr(obj, "_fields", None) or [
            f.name for f in (dataclasses.fields(obj) if dataclasses.is_dataclass(obj) else ())
        ]
        if fields:
            return f"({', '.join(fields)})", None
        return ("", None) if signature else None
    if what not in ("function", "method"):
        return None
    source = textwrap.dedent(inspect.getsource(written(obj)))
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    if written(obj) is not inspect.unwrap(obj):  # a rule: the factory has its hyperparameters
        node.returns = ast.parse("optax.GradientTransformationExtraArgs", mode="eval").body
    public = inspect.signature(obj).parameters
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    required = [None] * (len(positional) - len(a.defaults))
    shown = [
        _argument(arg, default, source)
        for arg, default in zip(positional, [*required, *a.defaults], strict=True)
        if arg.arg in public
    ]
    keywords = [
        _argument(arg, default, source)
        for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)
        if arg.arg in public
    ]
    if a.vararg:
        shown.append("*" + _argument(a.vararg, None, source))
    elif keywords:
        shown.append("*")
    shown += keywords
    if a.kwarg:
        shown.append("**" + _argument(a.kwarg, None, source))
    if what == "method" and shown[:1] == ["self"]:
        del shown[0]
    return f"({', '.join(shown)})", node.returns and ast.unparse(node.returns)


def _argument(arg: ast.arg, default: ast.expr | None, source: str) -> str:
    annotation = f": {ast.unparse(arg.annotation)}" if arg.annotation else ""
    annotation = re.sub(r"Annotated\[(\w+), _\w+\]", r"\1", annotation)  # a check is private
    value = f" = {ast.get_source_segment(source, default)}" if default else ""
    return arg.arg + annotation + value


def on_missing(app, env, node, content):
    """Names in signatures by their full names; code in backticks that is no name stays code."""
    if node.get("refdomain") != "py":
        return None
    target, role = node["reftarget"], node["reftype"]
    node["reftarget"] = FULL_NAMES.get(target, target)
    node["reftype"] = "obj"  # `optax.Params` is data there, and signatures look for classes
    found = missing_reference(app, env, node, content)
    node["reftype"] = role
    if found is None and role == "obj" and not target.startswith("gdmethods."):
        return content
    return found


def on_consistency(app, env):
    """A public name without a page is a warning, and a warning fails the build."""
    known = env.get_domain("py").objects
    modules = [importlib.import_module(name) for name in app.config.documented_modules]
    for module in modules:
        for name, value in public(module).items():
            pages = [f"{m.__name__}.{name}" for m in modules if getattr(m, name, None) is value]
            if not inspect.ismodule(value) and not known.keys() & pages:
                LOG.warning(f"{module.__name__}.{name} is public and has no page")


def public(module):
    """Public names with their values: those of `__all__`, or all that the module defines."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__
    }


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("documented_modules", [], "env")
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("missing-reference", on_missing, priority=400)  # before intersphinx
    app.connect("env-check-consistency", on_consistency)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
