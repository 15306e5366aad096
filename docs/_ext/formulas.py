"""Formulas as HTML at build time: KaTeX, in QuickJS. Neither Node nor a script in the page.

sphinxcontrib.katex brings KaTeX and knows where formulas stand. It would load the style sheet and
the fonts from another host: ours are in _static/katex, of the same version. A wrong formula fails
the build.
"""

import functools
import json
from pathlib import Path

import quickjs
import sphinxcontrib.katex as katex
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

VERSION = "0.16.22"


@functools.cache
def renderer() -> quickjs.Context:
    context = quickjs.Context()
    context.eval(Path(katex.__file__).with_name("katex.min.js").read_text("utf-8"))
    return context


def rendered(latex: str, options: dict[str, bool] | None = None) -> str:
    call = f"katex.renderToString({json.dumps(latex)}, {json.dumps(options or {})})"
    try:
        html = renderer().eval(f"JSON.stringify({call})")  # a string in pieces is none in Python
    except quickjs.JSException as error:
        raise ExtensionError(f"{error}: {latex}") from None
    return str(json.loads(html))


def setup(app: Sphinx) -> dict[str, bool]:
    if katex.katex_version != VERSION:
        raise ExtensionError(
            f"_static/katex is of KaTeX {VERSION}, and sphinxcontrib.katex brings "
            f"{katex.katex_version}: run docs/_static/katex/update.sh, and set VERSION here."
        )
    app.setup_extension("sphinxcontrib.katex")
    katex.render_latex = rendered
    app.config.katex_prerender = True
    app.config.katex_css_path = "katex/katex.min.css"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
