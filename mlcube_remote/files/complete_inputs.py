# SPDX-License-Identifier: Apache-2.0
"""Check that inputs would arrive complete, before anything is sent.

A task that runs on half of its data often succeeds. So data that would stay here is an error,
unless the user has excluded it. It stays here behind a link that leaves the tree, behind a link to
an excluded file, or because this user cannot read it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from mlcube_remote.errors import PlanError
from mlcube_remote.files.filters import FILE_NAME, is_never_sent, read_patterns
from mlcube_remote.files.input_scan import InputScan, Link, is_plain
from mlcube_remote.files.link_copies import plan_copies, unreadable_error
from mlcube_remote.files.transfer import list_sent
from mlcube_remote.files.upload import UploadTree, data_trees, mirror_trees
from mlcube_remote.formatting import list_first
from mlcube_remote.plan.job import RunRequest
from mlcube_remote.plan.placed_job import PlacedJob
from mlcube_remote.plan.placement import PlacedParameter, is_made_by_cube

_SHOWN = 3
"""Number of links or files that a message names."""
_PLACES_SHOWN = 10
"""Number of places that a message names before links to them are followed."""


def follow_links(tree: UploadTree) -> UploadTree:
    """Return a tree whose inputs contain what links lead to, instead of the links.

    Raises:
        PlanError: A link leads to data that is not sent through a link, or that cannot be read.
    """
    scan = InputScan(tree.local)
    for path in tree.inputs:
        scan.add(path)
    leaving = _Sent(tree).select(scan, scan.leaving) if scan.leaving else []
    return attrs.evolve(tree, copies=plan_copies(tree.local, leaving)) if leaving else tree


def check_complete(jobs: Iterable[PlacedJob]) -> tuple[str, ...]:
    """Check the inputs of jobs that run on other machines.

    Returns:
        Warnings.

    Raises:
        PlanError: An input would arrive incomplete.
    """
    check = _Check()
    for job in jobs:
        if not job.spec.host.is_local:
            check.job(job)
    return tuple(dict.fromkeys(check.warnings))


class _Sent:
    """What of a tree is sent; rsync is asked only if it is necessary."""

    def __init__(self, tree: UploadTree) -> None:
        self.tree = tree
        self.inputs = frozenset(tree.inputs)
        self.has_patterns = bool(tree.rules) and bool(read_patterns(tree.local))
        """Whether a rule may exclude an input."""
        names = [path.relative_to(tree.local).as_posix() for path in tree.inputs]
        anchored = [rule.removeprefix("- ") for rule in tree.rules if rule.startswith("- /")]
        self.has_patterns |= any(f"/{name}/".startswith(tuple(anchored)) for name in names)
        self._names: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str]:
        """All that is sent; names of directories end with a slash."""
        if self._names is None:
            self._names = list_sent(self.tree)
        return self._names

    def has(self, name: str) -> bool:
        """Return whether a path in the tree is sent."""
        if name == "." or not self.tree.rules:
            return True
        return name in self.names or f"{name}/" in self.names

    def has_input(self, name: str) -> bool:
        """Return whether a path in the tree is an input, or is in one."""
        path = self.tree.local / name
        return not self.inputs.isdisjoint((path, *path.parents))

    def has_files_below(self, name: str) -> bool:
        """Return whether any file in a directory is sent."""
        start = "" if name == "." else f"{name}/"
        return any(each.startswith(start) and not each.endswith("/") for each in self.names)

    def keeps(self, scan: InputScan) -> bool:
        """Return whether all that was scanned is sent, as far as is known without rsync."""
        return not (self.has_patterns or (self.tree.rules and scan.never_sent))

    def select(self, scan: InputScan, links: Iterable[Link]) -> list[Link]:
        """Return those links that are not excluded."""
        return [link for link in links if self.keeps(scan) or self.has(link.name)]


@attrs.define
class _Check:
    warnings: list[str] = attrs.field(factory=list)
    _done: set[tuple[Path, bool]] = attrs.field(factory=set, init=False)
    """Inputs that were checked, for jobs with and without ``copy_links``."""
    _mirrors: dict[RunRequest, dict[Path, _Sent]] = attrs.field(factory=dict, init=False)
    """Input in the mirror → what is sent; all jobs of a run have the same mirror."""

    def job(self, job: PlacedJob) -> None:
        """Check the inputs of one job."""
        request = job.spec.request
        if request not in self._mirrors:
            self._mirrors[request] = _by_input(mirror_trees(job))
        sent = _by_input(data_trees(job))
        for task, item in job.task_parameters():
            path = item.local
            if path is None or (path, job.spec.copies_links) in self._done:
                continue
            tree = sent.get(path) or self._mirrors[request].get(path)
            if tree is not None and not item.is_output:
                self._done.add((path, job.spec.copies_links))
                _Input(job, task, item, path, tree).check(self.warnings)


def _by_input(trees: Iterable[UploadTree]) -> dict[Path, _Sent]:
    return {path: sent for sent in map(_Sent, trees) for path in sent.tree.inputs}


@attrs.define
class _Input:
    """One input of a job, which is in a tree that is sent."""

    job: PlacedJob
    task: str
    item: PlacedParameter
    path: Path
    sent: _Sent
    scan: InputScan = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.scan = InputScan(self.sent.tree.local)
        self.scan.add(self.path)

    @property
    def label(self) -> str:
        """Position and name, for messages."""
        parameter = self.item.parameter
        return (
            f"{self.job.spec.cube.where_given(self.task, parameter)}: {self.task}.{parameter.name}"
        )

    def error(self, problem: str, hint: str | None) -> PlanError:
        return PlanError(f"{self.label}: {problem}", hint=hint)

    def check(self, warnings: list[str]) -> None:
        """Raise an error if it would arrive incomplete; add warnings."""
        # What is excluded, or missing behind a link, is what the earlier task makes.
        is_made = self.item.is_inside_output
        if not is_made:
            self.check_rules()
            self.check_dangling()
        self.check_readable()
        if leaving := self.sent.select(self.scan, self.scan.leaving):
            if not self.job.spec.copies_links:
                raise self.leaving_error(leaving)
            warnings.append(_describe_copies(self, leaving))
        if not is_made:
            self.check_ends()
        warnings += _warnings(self)

    def check_rules(self) -> None:
        """Reject an input that is excluded, or has only excluded files."""
        real = Path(os.path.realpath(self.path))
        top = Path(os.path.realpath(self.scan.top))
        if self.sent.keeps(self.scan) or not real.is_relative_to(top) or not real.exists():
            return
        name = real.relative_to(top).as_posix()
        if self.sent.has(name):
            is_empty = not real.is_dir() or not self.scan.files
            if is_empty or self.sent.has_files_below(name):
                return
        ignored = self.scan.top / FILE_NAME
        never = next((part for part in Path(name).parts if is_never_sent(part)), None)
        if never is None and ignored.exists():
            raise self.error(
                f"input {self.path} is excluded by {ignored}",
                f"remove the line that excludes it from {ignored}",
            )
        if never is None:
            raise self.error(
                f"input {self.path} is in a directory that is not sent",
                f"name the data itself: {self.item.parameter.name}=local:{self.path}",
            )
        raise self.error(
            f"input {self.path} is not sent: by default, {never} stays on this machine",
            f"to send it, add this line to {ignored}: !{never}",
        )

    def check_readable(self) -> None:
        unreadable = [
            name
            for name in self.scan.unreadable
            if self.sent.keeps(self.scan) or self.sent.has(name)
        ]
        if unreadable:
            problem = unreadable_error(self.scan.top, unreadable)
            raise self.error(problem.message, problem.hint)

    def check_dangling(self) -> None:
        """Reject links that lead nowhere; links that stay in the tree are sent as they are."""
        on_the_way = [link for link in self.scan.dangling if self.is_on_the_way(link)]
        below = [link for link in self.scan.dangling if not is_plain(link)]
        links = self.sent.select(self.scan, on_the_way or below)
        if links:
            raise self.error(
                f"input {self.path} would arrive incomplete: {_count(len(links), 'link')} "
                f"{'lead' if len(links) > 1 else 'leads'} to nothing on this machine: "
                f"{_name_links(links)}",
                "mount or create what is missing, or remove the links"
                + (f" or exclude them in {FILE_NAME}" if self.sent.tree.rules else ""),
            )

    def leaving_error(self, links: Sequence[Link]) -> PlanError:
        if self.is_on_the_way(links[0]):
            real = os.path.realpath(self.path)
            return self.error(
                f"{self.scan.top / links[0].name} is a link that leaves "
                f"{self.place} (to {links[0].end}), and is not sent",
                f"name the data itself: {self.item.parameter.name}=local:{real}; "
                "or send what links lead to: --copy-links",
            )
        return self.error(
            f"input {self.path} would arrive incomplete: {_count(len(links), 'link')} "
            f"{'leave' if len(links) > 1 else 'leaves'} {self.place}, so this data is not "
            f"sent: {_name_links(links)}",
            "to send it, add --copy-links"
            + (f"; to omit the links, exclude them in {FILE_NAME}" if self.sent.tree.rules else ""),
        )

    @property
    def place(self) -> str:
        """What the links leave, in words."""
        return "the cube" if self.sent.tree.mirror else str(self.scan.top)

    def is_on_the_way(self, link: Link) -> bool:
        return bool(link.below) or self.scan.top / link.name == self.path

    def check_ends(self) -> None:
        """Reject links to something in the tree that is not sent."""
        if not self.sent.tree.rules:
            return
        missing = []
        for link in self.sent.select(self.scan, self.scan.inside):
            end = self.scan.ends_inside(link) or "."
            if (self.sent.has_input(end) and self.sent.keeps(self.scan)) or self.sent.has(end):
                continue
            # Another task makes it, so an earlier run may have left it on the host.
            made = attrs.evolve(self.item, local=self.scan.top / end)
            if not is_made_by_cube(made, self.job.spec.cube):
                missing.append(link)
        if missing:
            raise self.error(
                f"input {self.path} would arrive incomplete: {_count(len(missing), 'link')} "
                f"{'lead' if len(missing) > 1 else 'leads'} to excluded data, which is not sent: "
                f"{_name_links(missing)}",
                f"remove the line that excludes it from {self.scan.top / FILE_NAME}, or exclude "
                "the links there too",
            )


def _describe_copies(given: _Input, links: Sequence[Link]) -> str:
    """Return where links lead that are followed, for the user to read before it is sent."""
    try:
        copies = plan_copies(given.scan.top, links)
    except PlanError as problem:
        raise given.error(problem.message, problem.hint) from problem
    ends = Counter(str(end if end.is_dir() else end.parent) for end in copies.followed.values())
    shown = [f"{end} ({count} links)" if count > 1 else end for end, count in ends.most_common()]
    verb = "leads" if len(copies.followed) == 1 else "lead"
    return (
        f"{given.label}: --copy-links: sends what {_count(len(copies.followed), 'link')} of "
        f"this machine {verb} to: {list_first(shown, _PLACES_SHOWN)}"
    )


def _warnings(given: _Input) -> Iterator[str]:
    """Yield warnings about what is no error."""
    scan = given.scan
    if scan.special:
        yield (
            f"{given.label}: not sent: {list_first(sorted(scan.special), _SHOWN)}: "
            "pipes, sockets and devices stay on this machine"
        )
    left = [name for name in scan.never_sent if not _is_expected(name)]
    if given.sent.tree.rules and left:
        left = [name for name in left if not given.sent.has(name)]
    if given.sent.tree.rules and left:
        yield (
            f"{given.label}: not sent: {list_first(left, _SHOWN)}: such names stay here "
            f"unless {FILE_NAME} includes them"
        )
    is_empty = not (scan.files or scan.inside or scan.leaving or scan.special)
    if is_empty and given.path.is_dir() and not is_made_by_cube(given.item, given.job.spec.cube):
        yield f"{given.label}: input {given.path} is an empty directory on this machine"


def _is_expected(name: str) -> bool:
    """Return whether no task needs what has this name: histories and temporary files."""
    last = name.rpartition("/")[2]
    return last in {".git", "__pycache__"} or last.startswith(".mlcube-remote")


def _name_links(links: Sequence[Link]) -> str:
    """Return the first few links, with where they lead."""
    ordered = sorted(links, key=lambda link: link.name)
    shown = [f"{link.name} (to {link.end or link.text})" for link in ordered]
    return list_first(shown, _SHOWN)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
