"""Configuration of the documentation, which `nox -s docs` builds."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

import onnxsearch

project = "onnxsearch"
author = "The onnxsearch developers"
version = release = onnxsearch.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_llms_txt",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "onnxsearch"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings are Markdown in spirit: single backquotes mean code.
default_role = "code"
# Frameworks that the environment of the documentation does not have.
autodoc_mock_imports = [
    "haystack",
    "langchain_core",
    "llama_index",
    "mcp",
    "mcp_types",
    "pydantic",
    "ray",
]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    name: name
    for name in (
        "ImageInput",
        "JSONValue",
        "Metadata",
        "MetadataSource",
        "Pooling",
        "ProgressSink",
        "Provider",
        "Tensor",
        "Vectors",
    )
}
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

# Names of other projects: a link to their documentation would need a network.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(collections\.abc|datetime|matplotlib|mcp|numpy|os|pathlib|PIL|pymilvus|ray|redis|starlette|threading|typing)\..*",
    ),
    # The same names as they are written in annotations that are imported for type checkers only.
    ("py:class", r"Axes|Client|HFBackend|Image\.Image|np\.\w+|pa\.\w+|pd\.\w+|Path|timedelta"),
    ("py:class", r"Mapping\[str|tuple\[str"),
    # `SearchEngine.records` makes them, not the reader.
    ("py:class", r"onnxsearch\.catalog\.records\.RecordIndex"),
    # `SearchEngine.duplicates` makes it.
    ("py:class", r"onnxsearch\.search\.duplicate_images\.DuplicateReader|DuplicateReader"),
    # The forms of arguments of adapters, which their docstrings describe.
    ("py:class", r"QueryKind|HaystackFilters|ImagesOfRay|Secret|NDArray|ArrayLike"),
    # Arrays of classifiers, of which the docstrings give shapes and dtypes.
    ("py:class", r"Classes|Floats"),
    # Type variables.
    ("py:.*", r"(onnxsearch\.vectors\.capabilities\.)?Index"),
    ("py:class", r"onnxsearch\.async_engine\._Opened"),
]


def plain_aliases(
    app: Sphinx, what: str, name: str, value: object, options: Any, *signature: str | None
) -> tuple[str | None, ...]:
    """Show `Vectors` where Sphinx shows `TypeAliasForwardRef('Vectors')`."""
    del app, what, name, value, options
    return tuple(
        part and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", part) for part in signature
    )


def setup(app: Sphinx) -> None:
    # The generated constructor names types that only the module of the base class imports.
    profile = onnxsearch.PreprocessingProfile
    profile.__init__.__annotations__ = get_type_hints(profile)
    app.connect("autodoc-process-signature", plain_aliases)
    # Napoleon reads the text before a colon in an attribute's docstring as its type. Here
    # these docstrings are prose, and the types are annotations.
    GoogleDocstring._consume_inline_attribute = lambda self: ("", self._consume_to_end())
