"""How the documentation is built: `nox -s docs`."""

from __future__ import annotations

import onnxsearch

project = "onnxsearch"
author = "The onnxsearch developers"
version = release = onnxsearch.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "onnxsearch"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings are Markdown in spirit: single backquotes mean code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {
    name: name for name in ("ImageInput", "JSONValue", "Metadata", "Tensor", "Vectors")
}
autoclass_content = "class"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
