"""Sphinx: the Markdown pages of this folder and the reference from docstrings.

    make docs        # or: sphinx-build -W -b html docs out/docs

Nothing is fetched: no inventories of other projects, no fonts, no scripts.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # also from a checkout that is not installed

project = "Wildline"
author = "The makers of Wildline"
copyright = "The makers of Wildline, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "Wildline"
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None  # same pages, same bytes

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # NEUTRAL, not all that it holds
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}

_AUTOMODULE = re.compile(r"^\.\. automodule:: (\S+)$", re.MULTILINE)
_CODE = re.compile(r"``[^`]+``|`[^`]+`")
_MARKUP = re.compile(r"([\\*|])")
_REFERENCE = re.compile(r"(?<=\w)_(?=\W|$)")


def _prose(line: str) -> str:
    """One line of a docstring: `names` as literals, everything else as it is written."""
    out, at = "", 0
    for code in _CODE.finditer(line):
        out += _plain(line[at : code.start()]) + f"``{code[0].strip('`')}``"
        at = code.end()
    return out + _plain(line[at:])


def _plain(text: str) -> str:
    """Text in which nothing is markup."""
    return _REFERENCE.sub(r"\\_", _MARKUP.sub(r"\\\1", text))


def restructured(lines: list[str]) -> list[str]:
    """A docstring as this project writes them, in the markup that autodoc reads.

    Four spaces make a code block; `- ` begins an item, two spaces go on with it.
    """
    out: list[str] = []
    in_code = False
    for line in lines:
        if line.startswith("    "):
            if not in_code:
                out += ["", ".. code-block:: text", ""]
            in_code = True
            out.append(line)
        elif not line.strip():
            out.append("")
        else:
            if in_code:
                out.append("")
            in_code = False
            out.append(_prose(line))
    return [*out, ""]


def commands() -> str:
    """The help of every command, as `wildline COMMAND --help` prints it, in Markdown."""
    import typer

    from studio.cli import app

    def told(command: Any, context: Any) -> list[str]:
        path = context.command_path
        text = command.get_help(context)
        out = [f"## {path}", f"```text\n{text}\n```"] if context.parent is not None else []
        for name, below in getattr(command, "commands", {}).items():
            out += told(below, type(context)(below, info_name=name, parent=context))
        return out

    root = typer.main.get_command(app)
    top = root.context_class(root, info_name="wildline", max_content_width=100)
    return "\n\n".join(told(root, top))


def _docstring(
    _app: Sphinx, _what: str, _name: str, _obj: Any, _opts: Any, lines: list[str]
) -> None:
    lines[:] = restructured(lines)


def _unlisted(found: set[str], index: str) -> str:
    """Pages that the index does not name yet, to come last: none is ever out of reach."""
    own = ("index", "api/", "cards/")  # these have tables of contents of their own
    rest = sorted(n for n in found if not n.startswith(own) and f"\n{n}\n" not in index)
    listed = "\n".join(rest)
    return f"\n```{{toctree}}\n:caption: Further\n\n{listed}\n```\n" if rest else ""


def members(name: str) -> str:
    """The directives for all that a module exports, whether imported already or on first use."""
    module = import_module(name)
    exported = list(module.__all__)
    vars(module).setdefault("__dir__", lambda: exported)  # autodoc sees what `dir` names
    below = {m.name for m in iter_modules(getattr(module, "__path__", []))}
    plain = [n for n in exported if n not in below and not n.isupper()]
    out = [f".. automodule:: {name}", f"   :members: {', '.join(plain)}"]
    for n in exported:
        if n in below:  # a function called like the module it lives in
            out += ["", f".. autofunction:: {name}.{n}.{n}"]
        elif n.isupper():
            out += ["", f".. autodata:: {name}.{n}", "   :no-value:"]
    return "\n".join(out)


def _source(app: Sphinx, page: str, source: list[str]) -> None:
    """What the pages cannot know when they are written."""
    if page == "index":
        source[0] += _unlisted(app.env.found_docs, source[0])
    elif page == "commands":
        source[0] += "\n" + commands()
    elif page.startswith("api/"):
        source[0] = _AUTOMODULE.sub(lambda found: members(found[1]), source[0])


def setup(app: Sphinx) -> None:
    """What Sphinx calls first."""
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("source-read", _source)
