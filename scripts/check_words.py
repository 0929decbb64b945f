# SPDX-License-Identifier: Apache-2.0
"""Fail if code, shell, tests or docs use words that readers stumble over.

Each pattern names a plain word to use instead; CONTRIBUTING.md says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PLAIN = {
    r"begun": "started",
    r"anew": "again, new",
    r"mend(s|ed|ing)?": "fix",
    r"nobody": "no one does: name the subject, or use the passive",
    r"who(so)?ever": "the user, client or job that",
    r"spelt": "spelled, or in any spelling",
    r"untold": "not reported",
    r"is told|are told": "learns, is reported",
    r"lest": "so that … not",
    r"at the most": "at most, maximum",
    r"by itself": "alone",
    r"is to be|are to be": "must be, will be",
    r"of which": "a new sentence",
    r"left away": "omitted",
    r"hand(s|ed)? over": "pass",
    r"(is|are|be|was|were) at work": "running",
    r"(come|comes|came|bring|brings|brought) home": "pull, download",
    r"give up for lost|gone on|goes? on": "continues, is still running",
    r"make ready|makes ready|made ready": "prepare",
    r"tells? of": "report",
    r"stands? (above|beside|for itself|there)": "is",
    r"the more so|all the while|therein|thereof|whereof|thereby": "a plain clause",
}
"""Pattern → what to write instead."""

_WORDS = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in PLAIN), re.IGNORECASE)
_SUFFIXES = {".md", ".py", ".sh", ".yaml"}
_EXEMPT = {"scripts/check_words.py", "LICENSE"}


def tracked_files() -> Iterator[Path]:
    """Yield the files of the repository whose words are checked."""
    names = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if Path(name).suffix in _SUFFIXES and name not in _EXEMPT:
            yield Path(name)


def stumbles(path: Path) -> Iterator[str]:
    """Yield a line for each unclear word in ``path``."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for match in _WORDS.finditer(line):
            instead = next(
                plain
                for pattern, plain in PLAIN.items()
                if re.fullmatch(pattern, match[0], re.IGNORECASE)
            )
            yield f"{path}:{number}: {match[0]!r}: write: {instead}"


def main() -> int:
    """Check all tracked files; return the exit code."""
    problems = [problem for path in tracked_files() for problem in stumbles(path)]
    print(*problems, sep="\n", file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
