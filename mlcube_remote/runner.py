# SPDX-License-Identifier: Apache-2.0
"""Hosts behind MLCube's own command: ``mlcube run --platform=remote --host=gpu01 --task=train``.

``mlcube`` asks each package that is called ``mlcube_…`` for its ``get_runner_class``; what it gets
from us is the class below. It needs the extra ``mlcube-remote[mlcube]``; nothing else imports it.

What was typed after ``mlcube run`` is taken from the command line once more, because much is lost
on the way through ``mlcube``: it drops ``--gpus`` and its like for runners it does not know, fills
paths of this machine into the cube, and hands over one task at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from mlcube.errors import ConfigurationError
from mlcube.runner import Runner, RunnerConfig
from omegaconf import OmegaConf

from mlcube_remote.cli.main import execute
from mlcube_remote.cube.system_settings import REMOTE, REMOTE_KEYS

_SHARED_OPTIONS = (
    "mlcube",
    "workspace",
    "network",
    "security",
    "gpus",
    "memory",
    "cpu",
    "mount",
)
"""Options that mean the same to ``mlcube`` and to ``mlcube-remote``."""


class Config(RunnerConfig):  # type: ignore[misc] # mlcube has no types
    """What ``mlcube`` writes into ``~/mlcube.yaml`` for the platform ``remote``."""

    DEFAULT = OmegaConf.create({"runner": REMOTE, "host": None})


class RemoteRunner(Runner):  # type: ignore[misc] # mlcube has no types
    """Turns what ``mlcube`` was asked for into a command of ours, and carries that out."""

    CONFIG = Config

    def configure(self) -> None:
        """Send the cube to its hosts and make its image ready there."""
        context = _context("configure")
        self._execute(context, ["configure", *self._arguments(context)])

    def run(self) -> None:
        """Run all tasks that were asked for when the first one comes up, as one run of ours."""
        context = _context("run")
        asked = context.params.get("task") or self.task
        if self.task == asked.split(",")[0]:
            self._execute(context, ["run", f"--task={asked}", *self._arguments(context)])

    def _arguments(self, context: click.Context) -> Iterator[str]:
        for name in _SHARED_OPTIONS:
            if context.params.get(name) is not None:
                yield f"--{name}={context.params[name]}"
        typed = [*(f"-P{text}" for text in context.params.get("p") or ()), *context.args]
        # -Prunner.host=… says where to run: it is no setting of the platform there.
        where = tuple(f"-Prunner.{key}=" for key in REMOTE_KEYS)
        if any(text.startswith(where) for text in typed):
            wanted = {key: self.mlcube.runner.get(key) for key in REMOTE_KEYS}
        else:
            # The name is enough: what the file says of it is read, and checked, once more.
            wanted = {"platform": context.params["platform"]}
        yield from (f"--{option}={value}" for option, value in wanted.items() if value)
        yield from (text for text in typed if not text.startswith(where))

    @staticmethod
    def _execute(context: click.Context, arguments: list[str]) -> None:
        if code := execute(arguments):
            # By click's own way out: of MLCube's errors its command prints a traceback.
            context.exit(code)


def _context(command: str) -> click.Context:
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != command:
        raise ConfigurationError(
            f"the runner {REMOTE} works for the command `mlcube {command}` only"
        )
    return context
