"""Markdown files beside docs/ as pages, so that a link leads where it leads on GitHub.

A page of the site includes each of them. A link to such a file becomes a link to its page, and one
to another file outside of docs/ a download.
"""

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGES = {
    "README": "index",
    "CHANGELOG": "write/changelog",
    "CONTRIBUTING": "write/contributing",
    "examples/README": "use/examples",
    "examples/mnist/README": "evidence/mnist",
    "examples/problems/README": "evidence/study",
}
RELATIVE = re.compile(r"\]\((?![a-z]+:|[#/])")


def from_docs(app: Sphinx, included: Path, parent: str, content: list[str]) -> None:
    """Links of an included file start in docs/, wherever the page stands that includes it."""
    if included.parts[0] == "..":
        content[0] = RELATIVE.sub(f"](/{included.parent}/", content[0])


def to_pages(app: Sphinx, doctree: Any) -> None:
    links = [x for x in doctree.findall(addnodes.pending_xref) if x["refdomain"] == "doc"]
    for link in links:
        if os.path.isabs(link["reftarget"]):
            file = os.path.relpath(link["reftarget"], Path(app.srcdir).parent)
            link["reftarget"] = PAGES.get(file, file)
            if file not in PAGES:
                target = f"/../{file}.md"
                link.replace_self(addnodes.download_reference("", "", *link, reftarget=target))
    for title in doctree.findall(nodes.title):  # in the contents of a page Sphinx cannot have them
        for download in [*title.findall(addnodes.download_reference)]:
            download.replace_self(download.children)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("include-read", from_docs)
    app.connect("doctree-read", to_pages, priority=400)  # before downloads are collected
    return {"parallel_read_safe": True}
