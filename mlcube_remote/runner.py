# SPDX-License-Identifier: Apache-2.0
"""The runner for MLCube's own command: ``mlcube run --platform=remote --host=gpu01 --task=train``.

``mlcube`` calls ``get_runner_class`` in each package named ``mlcube_…``, and gets the class below.
It needs the extra ``mlcube-remote[mlcube]``; no other module imports it.

The runner reads the command line of ``mlcube`` again instead of what ``mlcube`` passes: that has no
``--gpus`` and similar options for unknown runners, has paths of this machine in the cube, and is
one task at a time. The user types options of mlcube-remote there, so that its command line parses
them.
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
    """The settings that ``mlcube`` writes to ``~/mlcube.yaml`` for the platform ``remote``."""

    DEFAULT = OmegaConf.create({"runner": REMOTE, "host": None})


class RemoteRunner(Runner):  # type: ignore[misc] # mlcube has no types
    """Runs a command of ``mlcube`` as a command of mlcube-remote."""

    CONFIG = Config

    def configure(self) -> None:
        """Upload the cube to its hosts, and pull or build its image."""
        context = _context("configure")
        self._execute(context, ["configure", *self._arguments(context)])

    def run(self) -> None:
        """Run all tasks of the command as one run, when ``mlcube`` passes the first of them."""
        context = _context("run")
        tasks = context.params.get("task") or self.task
        if self.task == tasks.split(",")[0]:
            self._execute(context, ["run", f"--task={tasks}", *self._arguments(context)])

    def _arguments(self, context: click.Context) -> Iterator[str]:
        for name in _SHARED_OPTIONS:
            if context.params.get(name) is not None:
                yield f"--{name}={context.params[name]}"
        typed = [*(f"-P{text}" for text in context.params.get("p") or ()), *context.args]
        # -Prunner.host=… names the host, and is not a setting of the platform on it.
        remote_settings = tuple(f"-Prunner.{key}=" for key in REMOTE_KEYS)
        if any(text.startswith(remote_settings) for text in typed):
            options = {key: self.mlcube.runner.get(key) for key in REMOTE_KEYS}
        else:
            # The name is enough: its settings in the file are read and checked again.
            options = {"platform": context.params["platform"]}
        yield from (f"--{option}={value}" for option, value in options.items() if value)
        yield from (text for text in typed if not text.startswith(remote_settings))

    @staticmethod
    def _execute(context: click.Context, arguments: list[str]) -> None:
        if code := execute(arguments):
            # For an exception of MLCube, its command would print a traceback.
            context.exit(code)


def _context(command: str) -> click.Context:
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != command:
        raise ConfigurationError(
            f"the runner {REMOTE} works for the command `mlcube {command}` only"
        )
    return context
