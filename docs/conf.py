# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx: ``make docs`` writes the documentation as a site to build/site.

The pages are plain Markdown, so that they can also be read in a clone. ``REPOSITORY`` is the
address of the repository; if it is not set, the site shows the text of a link to another file of
the repository without the link.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from mlcube_remote import __version__

project = "mlcube-remote"
copyright = "the mlcube-remote contributors"  # noqa: A001 - the name is Sphinx's
release = __version__

extensions = ["myst_parser", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_title = f"mlcube-remote {release}"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
nitpicky = True

ROOT = Path(__file__).parents[1]
REPOSITORY = os.environ.get("REPOSITORY", "").rstrip("/")

_SECTIONS = {
    "Tutorial": "tutorial",
    "How to": "how-to",
    "Reference": "reference",
    "Explanation": "explanation",
}
_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)")


def _contents() -> str:
    """Return the list of all pages, which Sphinx shows beside each page."""
    parts = [
        f"```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{folder}/*\n```\n"
        for caption, folder in _SECTIONS.items()
    ]
    return "\n" + "\n".join(parts)


def _link_to_repository(page: str, text: str) -> str:
    """Return the text of a page; its links to files outside docs/ lead to the repository."""
    folder = posixpath.join("docs", posixpath.dirname(page))

    def replace(link: re.Match[str]) -> str:
        words, target, anchor = link.groups(default="")
        path = posixpath.normpath(posixpath.join(folder, target))
        if path.startswith("docs/"):
            return link[0]
        if not (ROOT / path).exists():
            raise ExtensionError(f"docs/{page}.md: {target}: no such file in the repository")
        if not REPOSITORY:
            return words
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{words}]({REPOSITORY}/{kind}/main/{path}{anchor})"

    return _LINK.sub(replace, text)


def _read_page(app: Sphinx, page: str, content: list[str]) -> None:
    content[0] = _link_to_repository(page, content[0])
    if page == app.config.root_doc:
        content[0] += _contents()


def setup(app: Sphinx) -> None:
    """Change each page when Sphinx reads it."""
    app.connect("source-read", _read_page)
