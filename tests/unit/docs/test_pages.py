# SPDX-License-Identifier: Apache-2.0
"""Links, anchors, tables and file names in all pages are right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/README.md"),
        ROOT / "benchmarks" / "README.md",
    ]
)
ROOMS = sorted(path.parent.name for path in ROOT.glob("mlcube_remote/*/__init__.py"))

_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`+[^`\n]*`+")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_FILE = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w/]+\.(?:py|sh))`")

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


def text_of(page: Path) -> str:
    """Return the page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(text_of(page)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@every_page
def test_links_lead_to_files_and_anchors_that_exist(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_CODE.sub("", text_of(page))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@every_page
def test_every_row_of_a_table_has_as_many_cells_as_its_header(page: Path) -> None:
    wrong = []
    cells = 0
    for line in text_of(page).splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        found = len(_CELL_BORDER.findall(line)) - 1
        cells = cells or found
        if found != cells or not line.rstrip().endswith("|"):
            wrong.append(line)
    assert not wrong


@every_page
def test_files_of_the_package_that_are_named_exist(page: Path) -> None:
    named = _FILE.findall(text_of(page))
    assert [name for name in named if not (ROOT / "mlcube_remote" / name).exists()] == []


@every_page
def test_a_page_has_one_title(page: Path) -> None:
    titles = re.findall(r"^# .+", text_of(page), re.MULTILINE)
    assert len(titles) == 1


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text())}
    missing = {page for page in ROOT.glob("docs/*/*.md") if page.resolve() not in linked}
    assert not missing


def test_every_room_has_a_row_in_contributing() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page[page.index("<!-- rooms -->") : page.index("<!-- /rooms -->")]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ROOMS


def test_terms_of_the_glossary_are_in_order() -> None:
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\*\*(.+?)\*\*:", page, re.MULTILINE)
    assert terms == sorted(set(terms))
