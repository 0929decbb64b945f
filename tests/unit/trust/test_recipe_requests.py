# SPDX-License-Identifier: Apache-2.0
"""What a definition file asks for outside its container, in any spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.trust.recipe_requests import read_recipe

HEADER = "Bootstrap: docker\nFrom: debian\n"

PUBLISHED = """\
# The shape of the recipes that published cubes have.
BootStrap: docker
From: ubuntu:18.04
Stage: build

%files
    project /workspace
    "a file.txt" /opt
    *.py
%post -c /bin/bash
    echo %setup is no first word
    apt-get update; cp ../x ~/y
%setup
    # nothing yet

Bootstrap: localimage
From: images/base.sif
%files from build
    /opt/x /opt/x
%labels
    Author ../somebody
%environment
    export A={{ B }}
%appinstall tool
    make
%runscript
    exec python "$@"
"""


def test_what_stays_inside_needs_no_trust() -> None:
    recipe = read_recipe(PUBLISHED.encode())
    assert recipe.requests == ()
    assert recipe.copied == ("project", "a file.txt", "*.py", "images/base.sif")
    assert read_recipe(PUBLISHED.replace("\n", "\r\n").encode()) == recipe


HOST = "runs on the host, outside the container"


@pytest.mark.parametrize(
    "section",
    [
        "%setup",
        "%SETUP",
        "%Setup # a comment",
        "  %setup",
        "\t%setup",
        "%%setup",
        "%pre",
        "%Pre -x",
    ],
)
def test_scripts_of_the_host_are_requests(section: str) -> None:
    recipe = read_recipe(f"{HEADER}\n%post\n  true\n{section}\n\n   touch /tmp/x\n".encode())
    assert {(request.line, request.reason) for request in recipe.requests} == {(6, HOST)}
    assert recipe.requests[0].text.startswith(section.strip())


@pytest.mark.parametrize(
    "text",
    [
        "%setup -c ./evil\n",
        "%setup\n#!./evil\n",
        "%setup\n    # a comment\n    touch x\n",
        "%files\n    /etc/passwd /x\n",
        "%files\n    ../x /x\n",
        "%files\n    a/../../x\n",
        "%files\n    ~/.ssh/id_rsa /x\n",
        "%files\n    $HOME/.ssh /x\n",
        "%files\n    $(touch${IFS}x) /x\n",
        "%files\n    `id` /x\n",
        "%files\n    {{ HOME }}/x /x\n",
        '%files\n    "/etc/passwd" /x\n',
        "%files\n    '/etc/passwd' /x\n",
        '%files\n    a"b /etc\n',
        "%files\n    x /../../etc/x\n",
        "%files\n    {a,/etc} /x\n",
        "%files\n    \u00a0x\n",
        "%files\n    x\x0b/etc/passwd\n",
        "%files # from build\n    /etc/passwd /x\n",
        "%files from\n    /etc/passwd /x\n",
        "%files from build\n    ../../../etc/passwd /x\n",
        "%files from build\n    x /../../home\n",
        "%files\n\x1c%post\n    /etc/passwd\n",
        "%appfiles tool\n    /etc/passwd\n",
        "%post\n{{ SECTION }}\n    touch x\n",
        "%unheard-of\n    touch x\n",
        "%post\n    true\nbootstrap: debootstrap\nMirrorURL: file:///x\n",
        "Bootstrap: localimage\nFrom: /opt/x.sif\n",
        "Bootstrap: localimage\nFrom: ../x.sif\n",
        "Bootstrap: localimage\n",
        "Bootstrap: docker-archive\nFrom: /opt/x.tar:tag\n",
        "Bootstrap: docker-daemon\nFrom: x:latest\n",
        "Bootstrap: yum\n",
        "Bootstrap: {{ AGENT }}\n",
        "Bootstrap: dock\\\ner\n",
        "BOOTSTRAP : arch\n",
        "Bootstrap: debootstrap\nInclude: a \\\n   Bootstrap: docker\n",
        "Bootstrap: localimage\nFrom: /x\n   From: y\n",
    ],
)
def test_what_reaches_the_host_is_a_request(text: str) -> None:
    assert read_recipe((HEADER + text).encode()).requests


@given(
    spaces=st.text(alphabet=" \t", max_size=4),
    percents=st.integers(1, 3),
    name=st.sampled_from(["setup", "pre"]).flatmap(
        lambda word: st.tuples(*(st.sampled_from([c, c.upper()]) for c in word)).map("".join)
    ),
    before=st.lists(
        st.sampled_from(["%post", "%files", "  x", "# y", "%test", "bootstrap: docker", "From: z"])
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_no_spelling_of_a_host_script_is_overlooked(
    spaces: str, percents: int, name: str, before: list[str], end: str
) -> None:
    lines = [*before, f"{spaces}{'%' * percents}{name}", "  touch x", ""]
    found = [
        request
        for request in read_recipe(end.join(lines).encode()).requests
        if request.reason == HOST
    ]
    assert [request.line for request in found] == [len(before) + 1]
