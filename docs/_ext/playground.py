"""The playground beside the pages, and in them: set to a method, by the settings of its address.

```{playground} preset=adam
Adam and RMSProp from the same start
```
"""

import functools
import html
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from examples.playground.__main__ import page
from examples.playground.rules import ROSTER


class Playground(SphinxDirective):
    """A frame with the playground at `#settings`; the body says what is seen."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        settings, title = "".join(self.arguments[0].split()), " ".join(self.content)
        for part in settings.split("&"):
            if not known(part):
                raise self.error(f"the playground knows no {part}")
        address = "../" * self.env.docname.count("/") + f"playground.html#{settings}"
        source, titled = html.escape(address), html.escape(title)
        frame = f'<iframe class="playground" src="{source}" title="{titled}"></iframe>'
        caption = nodes.paragraph("", f"{title} ", classes=["made-by"])
        caption += nodes.reference("", "In a page of its own", refuri=address)
        caption += nodes.Text(", made by ")
        caption += nodes.literal("", "python -m examples.playground --out DIR")
        caption += nodes.Text(".")
        return [nodes.raw("", frame, format="html"), caption]


whole_page = functools.cache(page)


def known(part: str) -> bool:
    """Whether the playground follows a part of an address, and does not ignore it."""
    key, _, value = part.partition("=")
    if key in ("preset", "loss"):
        return f"\n  {value}: {{" in whole_page()
    if key == "methods":
        return all(method in ROSTER for method in value.split(","))
    method, _, number = key.partition(".")
    return key in ("start", "t") or number in ROSTER[method].hyperparameters()


def write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        Path(app.outdir, "playground.html").write_text(whole_page(), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("playground", Playground)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
