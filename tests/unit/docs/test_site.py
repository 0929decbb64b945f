# SPDX-License-Identifier: Apache-2.0
"""The documentation becomes a site without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def build(site: Path, docs: Path = DOCS, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-W", "--keep-going", "-b", "dirhtml", "-c", str(DOCS), "-d", f"{site}.cache"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(docs), str(site)],
        env={**os.environ, "REPOSITORY": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(folder, REPOSITORY="https://example.org/owner/name")
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_list_beside_each_page(site: Path) -> None:
    listed = set(
        re.findall(r'toctree-l1"><a[^>]* href="([^"#]+)/"', (site / "index.html").read_text())
    )
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.glob("*/*.md")}
    assert listed == pages


def test_links_to_other_files_lead_to_the_repository(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert 'href="https://example.org/owner/name/blob/main/examples/README.md"' in page


def test_the_site_can_be_searched(site: Path) -> None:
    assert "workspace" in (site / "searchindex.js").read_text()


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("[x](missing.md)", "missing.md"),
        ("[x](index.md#missing)", "missing"),
        ("[x](../missing.py)", "no such file in the repository"),
    ],
)
def test_a_broken_link_fails_the_build(tmp_path: Path, link: str, message: str) -> None:
    docs = tmp_path / "docs"
    for folder in ("tutorial", "how-to", "reference", "explanation"):
        (docs / folder).mkdir(parents=True)
        (docs / folder / "page.md").write_text("# A page\n")
    (docs / "index.md").write_text(f"# Index\n\n{link}\n")
    done = build(tmp_path / "site", docs)
    assert done.returncode != 0
    assert message in done.stderr
