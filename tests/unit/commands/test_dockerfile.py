# SPDX-License-Identifier: Apache-2.0
"""Which files of its context a build of a Dockerfile reads."""

from __future__ import annotations

import pytest

from mlcube_remote.commands.dockerfile import EVERYTHING, is_copied, read_sources


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("FROM debian\n", ()),
        ("COPY train.py /\n", ("train.py",)),
        ("copy a b /x/\nADD c /x/\n", ("a", "b", "c")),
        ("COPY /a ./b/ /x/\n", ("a", "b")),
        ("COPY . /x\n", (".",)),
        ('COPY ["a b", "c", "/x/"]\n', ("a b", "c")),
        ("COPY --chown=1:1 --chmod=755 a /x\n", ("a",)),
        ("COPY --from=build /out /out\nCOPY a /\n", ("a",)),
        ("COPY a \\\n    b \\\n # not this\n    /x/\n", ("a", "b")),
        ("# COPY secret /\nRUN echo COPY x y\n", ()),
        ("ADD https://example.org/x.tar /x\nADD git@example.org:x.git /y\n", ()),
        ("COPY <<EOF /etc/greeting\nhello\nEOF\n", ()),
        ("COPY a a /x/\n", ("a",)),
        ("ONBUILD COPY a /x\n", ()),
        ("RUN --mount=type=cache,target=/c --mount=from=base,target=/b make\n", ()),
        ("COPY a /", ("a",)),
        ("COPY a / \\", ("a",)),
        ("", ()),
    ],
)
def test_the_sources_of_a_dockerfile(text: str, sources: tuple[str, ...]) -> None:
    """What the build takes from its context."""
    assert read_sources(text) == sources


@pytest.mark.parametrize(
    "text",
    [
        "ARG DIR\nCOPY $DIR /x\n",
        "COPY ${DIR}/a /x\n",
        "RUN --mount=target=/src make\n",
        "RUN --mount=type=bind,source=src,target=/src \\\n make\n",
        '# escape=`\nCOPY a `\n "b" /x\n',
        'COPY ["a", \n',
        f"COPY {'[' * 100_000}\n",
        "COPY foo[^a].py /x\n",
        "COPY a\\ b /x\n",
    ],
)
def test_a_dockerfile_that_may_read_any_file(text: str) -> None:
    """If only the build knows a source, all files of the context count."""
    assert read_sources(text) == EVERYTHING


@pytest.mark.parametrize(
    ("path", "sources", "expected"),
    [
        ("train.py", ("train.py",), True),
        ("train.pyc", ("train.py",), False),
        ("src/deep/a.py", ("src",), True),
        ("src/deep/a.py", ("src/*",), True),
        ("src2/a.py", ("src",), False),
        ("a/x.txt", ("*.txt",), False),
        ("x.txt", ("*.txt",), True),
        ("anything/at/all", (".",), True),
        ("anything/at/all", ("../outside",), True),
        ("src", ("src/a.py",), False),
        ("README.md", (), False),
    ],
)
def test_a_source_names_files(path: str, sources: tuple[str, ...], expected: bool) -> None:
    """A pattern names files and directories; all files in such a directory are copied."""
    assert is_copied(path, sources) is expected
