# SPDX-License-Identifier: Apache-2.0
"""The report of a run: what it shows, what hostile text does, and how it works in Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlcube_remote.ui.report.curves import draw_curves
from mlcube_remote.ui.report.page import render_report
from mlcube_remote.ui.report.timeline import draw_timeline
from tests.support.checkers import axe_script
from tests.support.reported_runs import HOSTILE, RUN_ID, attempt, index_of


class Page(HTMLParser):
    """The elements and the text of a page; fails if an element is not closed in its order."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def render(*attempts: dict[str, Any]) -> str:
    return render_report(list(attempts), index_of(list(attempts)))


@pytest.mark.parametrize("count", [1, 500])
def test_the_page_shows_every_job(tmp_path: Path, count: int) -> None:
    html = render(*(attempt(number, tmp_path) for number in range(count)))
    page = Page(html)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("tr") >= count + 1
    assert len(html) < 3_000_000
    assert RUN_ID in html
    assert ("accuracy by lr" in html) is (count > 1)
    assert "loss" in "".join(page.texts)


def test_pictures_show_only_what_varies(tmp_path: Path) -> None:
    html = render(*(attempt(number, tmp_path) for number in range(9)))
    assert "accuracy by optimizer" in html
    assert "loss by optimizer" in html
    assert "images by" not in html, "the same in all jobs"
    assert "loss by lr" not in html, "the parameter itself"
    jobs = [attempt(number, tmp_path) for number in range(9)]
    for number, job in enumerate(jobs):
        job["parameters"] = {"images": str(number), "lr": f"{number % 2}"}
        job["outputs"][0]["metrics"] = {"accuracy": number / 9, "images": number}
    html = render(*jobs)
    assert "accuracy by images" in html
    assert "metrics.images by images" not in html, "the parameter itself"


def test_files_that_were_written_for_each_job_are_one_line(tmp_path: Path) -> None:
    jobs = [attempt(number, tmp_path) for number in range(40)]
    for number, job in enumerate(jobs):
        settings = {"task": "train", "name": "settings", "path": f"/t/{number}", "sha256": "5" * 64}
        job["provenance"]["inputs"].append({**settings, "where": "generated"})
    html = render(*jobs)
    assert html.count(">train.settings<") == 1
    assert html.count(">train.data<") == 1


def test_failures_come_first(tmp_path: Path) -> None:
    html = render(*(attempt(number, tmp_path) for number in range(9)))
    assert html.index("Not succeeded") < html.index("<h2>Jobs</h2>")
    assert html.index(">007<") < html.index(">000<")
    assert "out of memory" in html


def test_jobs_that_failed_for_the_same_reason_are_named_together(tmp_path: Path) -> None:
    jobs = [attempt(number, tmp_path) for number in range(200)]
    jobs[7]["tasks"][0] |= {"reason": "", "exit_code": 3}
    html = render(*jobs)
    part = html[html.index("Not succeeded") : html.index("<h2>Jobs</h2>")]
    assert part.count("<li>") == 2
    assert "<strong>007@gpu04</strong>: failed<br>train: exit code 3" in part
    assert "</strong> and 7 more: failed<br>train: out of memory" in part


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Each text of a record is hostile, and the page has the elements of a harmless one."""

    def hostile(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: hostile(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [hostile(item) for item in value]
        is_fixed = key in {"path", "state", "status", "id", "sha256"}
        return HOSTILE if isinstance(value, str) and not is_fixed else value

    harmless, evil = attempt(7, tmp_path), hostile(attempt(7, tmp_path))
    evil["parameters"] = {HOSTILE: HOSTILE, "x": "y"}
    evil["outputs"][0]["metrics"] = {HOSTILE: 1.0}
    pages = [Page(render(each)) for each in (harmless, evil)]
    counts = [[tag for tag, _ in page.elements].count("script") for page in pages]
    assert counts == [1, 1]
    assert not [tag for tag, _ in pages[1].elements if tag == "img"]
    for _, attributes in pages[1].elements:
        assert not [name for name in attributes if name.startswith("on")]
    assert "\u202e" not in render(evil)
    assert "\x1b" not in render(evil)


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    html = render(attempt(1, tmp_path))
    for tag, attributes in Page(html).elements:
        assert not {"src", "href"} & attributes.keys(), tag
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src &#39;none&#39;" in html


def test_records_without_provenance_are_shown(tmp_path: Path) -> None:
    old = attempt(1, tmp_path, provenance=None)
    assert "No provenance was recorded." in render(old)


def test_a_job_without_a_record_is_shown(tmp_path: Path) -> None:
    known, lost = attempt(1, tmp_path), attempt(2, tmp_path, status="unknown", outputs=[])
    assert ">unknown<" in render_report([known], index_of([known, lost]))


def test_a_job_that_waited_for_a_host_has_a_bar_for_that(tmp_path: Path) -> None:
    rows = [(str(number), attempt(number, tmp_path)) for number in range(2)]
    (first, second), took = draw_timeline(rows)
    assert [first.label, second.label] == ["0", "1"]
    assert [bar.stage for bar in first.bars] == ["connect", "sync", "configure", "run", "pull"]
    assert (second.bars[0].stage, second.bars[0].title) == ("wait", "wait: 2.0 s")
    assert took == "12s"
    assert all(0 <= bar.left <= 100 for line in (first, second) for bar in line.bars)


def test_the_jobs_of_a_host_follow_each_other(tmp_path: Path) -> None:
    rows = [(str(number), attempt(number, tmp_path)) for number in (7, 5, 1, 0, 4)]
    lines, _ = draw_timeline(rows)
    assert [line.label for line in lines] == ["0", "4", "1", "5", "7"]


@pytest.mark.parametrize(
    ("name", "text", "titles"),
    [
        ("a.csv", "epoch,loss,note\n1,0.5,x\n2,0.4,y\n", ["curve: loss"]),
        ("a.jsonl", '{"loss": 1}\n{"loss": 2}\n', ["curve: loss"]),
        ("a.jsonl", '{"loss": 1e999}\n{"loss": NaN}\n[1]\n"x"\n', []),
        ("a.jsonl", "not json\n", []),
        ("a.jsonl", "[" * 100_000, []),
        ("a.csv", "\x00\n,,\n", []),
        ("a.txt", '{"loss": 1}\n{"loss": 2}\n', []),
    ],
)
def test_curves_are_read_from_files_of_steps(
    tmp_path: Path, name: str, text: str, titles: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    job = {"outputs": [{"name": "curve", "path": str(tmp_path / name), "state": "made"}]}
    assert [chart.title for chart in draw_curves([("job", job)])] == titles


CLICKS = """
      head.querySelector("button").click();
      head.querySelector("button").click();
      filter.value = "adam";
      filter.dispatchEvent(new Event("input"));
"""


@pytest.mark.parametrize(
    ("clicks", "fragment"),
    [(CLICKS, ""), ("", "#sort=7&order=descending&filter=adam")],
    ids=["by clicks", "by the address of a page that loads itself again"],
)
def test_the_table_is_sorted_and_filtered_in_a_browser(
    tmp_path: Path, clicks: str, fragment: str
) -> None:
    html = without_policy(render(*(attempt(number, tmp_path) for number in range(12))))
    script = f"""<script>
      const heads = [...document.querySelectorAll("#jobs th")];
      const head = heads.find((each) => each.textContent === "accuracy");
      {clicks}
      document.title = [...document.querySelectorAll("#jobs tbody tr")]
        .filter((row) => !row.hidden)
        .map((row) => row.cells[heads.indexOf(head)].textContent).join() + location.hash;
    </script></body>"""
    title = title_in_chromium(html.replace("</body>", script), tmp_path, fragment)
    assert title == ("0.9,0.89,0.88,0.86,0.84,0.82#sort=7&amp;order=descending&amp;filter=adam")


def test_the_policy_lets_only_the_script_of_the_page_run(tmp_path: Path) -> None:
    html = render(*(attempt(number, tmp_path) for number in range(3)))
    evil = '<script>document.title = "evil"</script></body>'
    assert title_in_chromium(html.replace("</body>", evil), tmp_path) == f"mnist: {RUN_ID}"


@pytest.mark.parametrize(("count", "scheme"), [(1, "light"), (500, "dark")])
def test_axe_finds_nothing_wrong(tmp_path: Path, count: int, scheme: str) -> None:
    """It also sees that the page has lost its language, which shows that it has looked."""
    html = without_policy(render(*(attempt(number, tmp_path) for number in range(count))))
    script = f"""<script>{axe_script()}</script><script>
      const broken = async (options) => {{
        const found = await axe.run(document, {{resultTypes: ["violations"], ...options}});
        return found.violations.map((each) => [each.id, each.nodes[0].html]);
      }};
      (async () => {{
        const found = await broken({{}});
        document.documentElement.removeAttribute("lang");
        const control = await broken({{runOnly: ["html-has-lang"]}});
        const dark = matchMedia("(prefers-color-scheme: dark)").matches;
        document.title = JSON.stringify([found, control.length, dark]);
      }})();
    </script></body>"""
    title = title_in_chromium(html.replace("</body>", script), tmp_path, scheme=scheme)
    assert json.loads(unescape(title)) == [[], 1, scheme == "dark"]


def without_policy(html: str) -> str:
    """Return a page whose policy does not refuse the scripts of a test."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)


def title_in_chromium(html: str, folder: Path, fragment: str = "", scheme: str = "light") -> str:
    """Return the title that a page has once its scripts have run."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "install it: apt-get install chromium"
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    argv = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    argv += [f"--user-data-dir={folder / 'chromium'}"]
    # Chromium's own number of the scheme; its clock waits until nothing is left to do.
    argv += [f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"]
    argv += ["--virtual-time-budget=600000", "--dump-dom", page.as_uri() + fragment]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=900)
    found = re.search(r"<title>(.*?)</title>", done.stdout.decode())
    assert found is not None
    return found[1]
