# SPDX-License-Identifier: Apache-2.0
"""With any links that a cube has planted and a host sends, nothing changes outside the outputs.

The trees, the spellings of paths and the chains of links are made up, 2,000 at a time.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcube_remote.errors import TransferError, UnsafeContentError
from mlcube_remote.files import staging
from mlcube_remote.files.merge import merge
from mlcube_remote.files.received import ContainerMount, check_received
from mlcube_remote.files.staging import DeclaredOutput
from mlcube_remote.trust.confined_paths import LinkInPathError, open_below

NAMES = ("a", "b", "d", "out", "sub", ".ssh", "keys")
UPS = ("..", "../..", "../../..", "../../../..")
MOUNT = ContainerMount("out", "/mlcube_io0")

PARTS = (*NAMES, "..", ".", "", "...", "a/")


def joined(parts: tuple[str, ...], most: int) -> list[str]:
    """Return all paths of up to ``most`` parts."""
    return [
        "/".join(each) for n in range(1, most + 1) for each in itertools.product(parts, repeat=n)
    ]


paths = st.sampled_from(joined(NAMES, 3))
spellings = st.sampled_from([*joined(PARTS, 3), *(f"/{each}" for each in joined(PARTS, 2))])
targets = st.one_of(
    paths,
    spellings,
    st.sampled_from([f"{up}/{to}" for up in UPS for to in ("home", "home/.ssh", "cube", "a", "d")]),
    st.sampled_from([f"{name}/{up}/{to}" for name in NAMES for up in UPS for to in NAMES]),
    st.sampled_from(["HOME", "HOME/.ssh", "HOME/.ssh/keys", "/mlcube_io0/a", "/mlcube_io0/../x"]),
)


@attrs.frozen
class Entry:
    """A file (no target), a directory (an empty target) or a link."""

    path: str
    target: str | None


entries = st.lists(st.builds(Entry, paths, st.one_of(st.none(), st.just(""), targets)), max_size=8)
outputs = st.sampled_from(
    [
        DeclaredOutput(path="out", directory=True),
        DeclaredOutput(path="out", directory=None),
        DeclaredOutput(path="out", directory=False),
        DeclaredOutput(path="sub/out", directory=True),
    ]
)


def cases(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


@attrs.frozen
class Machine:
    """A home with keys in it, and a cube beside it."""

    top: Path

    @property
    def workspace(self) -> Path:
        return self.top / "cube" / "workspace"

    def fill(self, folder: Path, made: list[Entry]) -> None:
        """Make entries below a folder, as a cube has them or rsync receives them: in no link."""
        for entry in made:
            path = folder / entry.path
            try:
                with open_below(folder, path.parent, create=True) as parent:
                    make(path.name, parent, entry.target, self.top / "home")
            except OSError:
                continue  # something else is in the way

    def outside(self, *kept: Path) -> dict[str, object]:
        """Return everything but the kept directories."""
        return {
            path: what
            for path, what in contents(self.top)
            if not any(Path(path) == each or each in Path(path).parents for each in kept)
        }


def make(name: str, parent: int, target: str | None, home: Path) -> None:
    if target is None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o644, dir_fd=parent), "w") as file:
            file.write("evil")
    elif not target:
        os.mkdir(name, dir_fd=parent)
    else:
        os.symlink(target.replace("HOME", str(home)), name, dir_fd=parent)


def contents(top: Path) -> Iterator[tuple[str, object]]:
    for folder, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            if stat.S_ISLNK(about.st_mode):
                yield path, os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                yield path, (about.st_mode, about.st_ino, Path(path).read_bytes())
            else:
                yield path, about.st_mode


@contextmanager
def machine() -> Iterator[Machine]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="mlcube-remote-test-", dir=memory))
    try:
        for name in ("home/.bashrc", "home/.ssh/keys", "home/a/b", "cube/mlcube.yaml"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(f"mine: {name}")
        (top / "cube/workspace").mkdir()
        yield Machine(top)
    finally:
        shutil.rmtree(top)


@cases(1000)
@given(planted=entries, pulls=st.lists(entries, min_size=1, max_size=3), output=outputs)
def test_pulls_change_only_the_output(
    planted: list[Entry], pulls: list[list[Entry]], output: DeclaredOutput
) -> None:
    with machine() as here:
        here.fill(here.workspace, planted)
        before = here.outside(here.workspace / output.path)
        for sent in pulls:
            declared = [attrs.evolve(each, path=f"{output.path}/{each.path}") for each in sent[1:]]
            pull(here, declared + sent[:1], output)
        after = here.outside(here.workspace / output.path)
        above = here.workspace / "sub"
        if str(above) not in before and output.path.startswith("sub/") and above.is_dir():
            del after[str(above)]  # the directory that the output is in
        assert after == before


# Few names, so that links lead through each other.
chains = st.lists(
    st.builds(
        Entry,
        st.sampled_from([f"out/{path}" for path in joined(("a", "b"), 3)]),
        st.one_of(st.just(""), st.sampled_from(joined(("a", "b", ".."), 4))),
    ),
    min_size=2,
    max_size=6,
)


@cases(1000)
@given(pulls=st.lists(chains, min_size=1, max_size=3))
def test_no_link_in_an_output_leads_out(pulls: list[list[Entry]]) -> None:
    """A program that reads an output later may follow its links."""
    output = DeclaredOutput(path="out", directory=True)
    with machine() as here:
        top = here.workspace / "out"
        for sent in pulls:
            pull(here, sent, output)
            links = [Path(path) for path, _ in contents(here.workspace) if os.path.islink(path)]
            leads = {link: Path(os.path.realpath(link)) for link in links}
            assert {link: to for link, to in leads.items() if not to.is_relative_to(top)} == {}


def pull(here: Machine, sent: list[Entry], output: DeclaredOutput) -> None:
    """Do with what a host sent as a pull does."""
    room = here.workspace / ".mlcube-remote-pull-x"
    room.mkdir(exist_ok=True)
    here.fill(room, sent)
    try:
        check_received("host", room, [output], [MOUNT])
        merge("host", room, here.workspace, here.top / "cube")
    except (TransferError, UnsafeContentError):
        pass
    finally:
        staging.empty(room)
        room.rmdir()


@cases(500)
@given(planted=entries, path=spellings, create=st.booleans())
def test_a_path_is_opened_inside_or_not_at_all(
    planted: list[Entry], path: str, create: bool
) -> None:
    with machine() as here:
        anchor = here.workspace
        here.fill(anchor, planted)
        before = here.outside(anchor)
        try:
            with open_below(anchor, Path(f"{anchor}/{path}"), create=create) as opened:
                where = Path(os.readlink(f"/proc/self/fd/{opened}"))
                assert where == anchor or anchor in where.parents
        except (OSError, ValueError):
            pass
        assert here.outside(anchor) == before


@cases(500)
@given(planted=entries, path=paths)
def test_a_link_on_the_way_is_named(planted: list[Entry], path: str) -> None:
    with machine() as here:
        here.fill(here.workspace, planted)
        way = [here.workspace.joinpath(*path.split("/")[:n]) for n in range(1, path.count("/") + 2)]
        first = next((each for each in way if each.is_symlink() or not each.is_dir()), None)
        named = ""
        try:
            with open_below(here.workspace, here.workspace / path):
                assert first is None
        except OSError as problem:
            named = problem.filename if isinstance(problem, LinkInPathError) else "another"
        expected = str(first) if first is not None and first.is_symlink() else "another"
        assert named == ("" if first is None else expected)


def test_a_chain_of_links_that_each_stay_inside() -> None:
    """The attack by hand that started this file."""
    output = DeclaredOutput(path="out", directory=True)
    with machine() as here:
        before = here.outside(here.workspace / "out")
        chain = {"out/a/b/l": "../../d", "out/d": "", "out/a/b/x": "l/../../../home"}
        pull(here, [Entry(path, target) for path, target in chain.items()], output)
        assert (here.workspace / "out/a/b/l").is_symlink()
        pull(here, [Entry("out/a/b/x/.bashrc", None), Entry("out/a/b/l/x", None)], output)
        assert here.outside(here.workspace / "out") == before
        assert not (here.workspace / "out/d/x").exists()
