"""The playground beside the pages, and in them: set to a method, by the settings of its address.

```{playground} embed=adam&preset=adam
Adam and RMSProp from the same start
```

{playground}`another start <preset=adam&start=1,2>`
"""

import functools
import html
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective

from examples.playground.__main__ import page
from examples.playground.rules import ROSTER

LOG = logging.getLogger(__name__)
whole_page = functools.cache(page)


class Frame(SphinxDirective):
    """A frame with the playground at `#settings`; the body says what is seen."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        source, title = address(self, self.arguments[0]), " ".join(self.content)
        frame = '<iframe class="playground" src="{}" title="{}"></iframe>'
        caption = nodes.paragraph("", f"{title} Made by ", classes=["made-by"])
        caption += nodes.literal("", "python -m examples.playground --out DIR")
        caption += nodes.Text(".")
        frame = frame.format(html.escape(source), html.escape(title))
        return [nodes.raw("", frame, format="html"), caption]


class Link(ReferenceRole):
    """A link to the playground at `<settings>`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        settings = self.target if self.has_explicit_title else ""
        return [nodes.reference("", self.title, refuri=address(self, settings))], []


def address(on: Any, settings: str) -> str:
    """Of the playground, from the page that `on` stands in."""
    for part in filter(None, settings.split("&")):
        if not known(part):
            LOG.warning("the playground knows no %s", part, location=on.get_location())
    return "../" * on.env.docname.count("/") + "playground.html" + f"#{settings}".rstrip("#")


def known(part: str) -> bool:
    """Whether the playground follows a part of an address, and does not ignore it."""
    key, _, value = part.partition("=")
    if key in ("preset", "loss"):
        return f"\n  {value}: {{" in whole_page()
    if key in ("embed", "methods"):
        return all(method in ROSTER for method in value.split(","))
    method, _, number = key.partition(".")
    return key in ("start", "t", "large") or (
        method in ROSTER and number in ROSTER[method].hyperparameters()
    )


def write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        Path(app.outdir, "playground.html").write_text(whole_page(), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("playground", Frame)
    app.add_role("playground", Link())
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
