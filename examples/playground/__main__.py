"""The methods at play in a browser: `python -m examples.playground --help`."""

from collections.abc import Sequence
from pathlib import Path

import jinja2

import gdmethods
from examples.gallery import pictures
from examples.playground.rules import rules
from gdmethods._programs.files import whole

HERE = Path(__file__).parent
SCRIPTS = ("presets.js", "course.js", "pictures.js", "page.js")


def page() -> str:
    """Whole in itself: nothing in it asks for another file."""
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True
    ).get_template("page.html.jinja")
    return template.render(
        version=gdmethods.__version__,
        style=(HERE / "style.css").read_text("utf-8"),
        scripts=[rules(), *((HERE / name).read_text("utf-8") for name in SCRIPTS)],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    (path,) = pictures(
        arguments,
        "examples.playground",
        "The methods' own rules at play in a browser: one page, without a network.",
        "playground.html",
    )
    with whole(path) as file:
        file.write_text(page(), "utf-8")
    print(path)


if __name__ == "__main__":
    main()
