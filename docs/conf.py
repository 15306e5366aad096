"""How Sphinx builds the site: `make docs`, with warnings as errors and without a network."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import gdmethods  # noqa: E402

project, author, copyright = "gdmethods", "gdmethods' authors", "gdmethods' authors, Apache 2.0"
release = version = gdmethods.__version__
html_title = f"gdmethods {version}"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
    "formulas",
    "methods",
    "playground",
    "repository",
]
smartquotes = False  # "8bit" is code
nitpicky = True  # a type in a signature that links nowhere fails the build
show_warning_types = True

# The reference. The build fails on a public name of these modules that has no page.
documented_modules = [
    "gdmethods",
    "gdmethods.rules",
    "gdmethods.dialects",
    "gdmethods.dialects.torch",
    "gdmethods.dialects.keras",
    "gdmethods.dialects.lecture",
    "gdmethods.testing",
    "gdmethods.testing.identify",
]
if importlib.util.find_spec("gdmethods.study"):
    documented_modules.append("gdmethods.study")
else:
    exclude_patterns, suppress_warnings = ["reference/study.md"], ["toc"]
autodoc_typehints = "none"  # docstrings.py has them from the source
python_maximum_signature_line_length = 72
add_function_parentheses = False
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

# Names elsewhere that pages link to, in Sphinx' first and readable format
intersphinx_mapping = {
    project: (address, f"inventories/{project}.inv")
    for project, address in {
        "flax": "https://flax.readthedocs.io/en/latest/",
        "jax": "https://docs.jax.dev/en/latest/",
        "numpy": "https://numpy.org/doc/stable/",
        "optax": "https://optax.readthedocs.io/en/latest/",
        "python": "https://docs.python.org/3/",
    }.items()
}

# Pages
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_selector = "div.highlight-python pre, div.highlight-pycon pre, div.highlight-sh pre"

# The look
html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"  # else browsers ask for /favicon.ico: a 404
html_css_files = ["gdmethods.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "default", "github-dark"
