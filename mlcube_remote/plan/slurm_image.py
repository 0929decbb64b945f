# SPDX-License-Identifier: Apache-2.0
"""Short commands on a compute node: the build of an image, and a trial of the node."""

from __future__ import annotations

from mlcube_remote.commands.model import Argv
from mlcube_remote.inventory.model import Host, Launcher
from mlcube_remote.plan.slurm import load_text, setup_text
from mlcube_remote.platforms import CONTAINER_ENGINES

_VALUED = ("partition", "account", "qos", "constraint")
"""The keys that also these jobs need; they need no GPU, and one node."""


def image_builder(host: Host, platform: str) -> Argv:
    """Return the words before a command that builds a SIF file; none: it runs as it is.

    Args:
        host: The login node.
        platform: The platform of the image.
    """
    if host.launcher is not Launcher.SLURM or platform in CONTAINER_ENGINES:
        return ()
    given = host.slurm
    if given.get("image_build") != "job":
        return _after(load_text(host))
    time = (f"--time={given['time']}",) if "time" in given else ()
    return (*_job(host, "mlcr-image", *time), *_after(load_text(host)))


def trial_words(host: Host) -> Argv:
    """Return the words that start a command on a compute node as tasks start, for one minute."""
    return (*_job(host, "mlcr-check", "--time=1"), *_after(setup_text(host)))


def _job(host: Host, name: str, *options: str) -> Argv:
    # srun waits for the end, and passes the output on.
    return (
        *("srun", f"--job-name={name}", "--nodes=1", "--ntasks=1", "--input=none"),
        *(f"--{key}={host.slurm[key]}" for key in _VALUED if key in host.slurm),
        *options,
        *host.slurm.get("extra", ()),
    )


def _after(before: str) -> Argv:
    """Return the words that run a command after this shell text; none if there is no text."""
    # Sites define the command "module" in the profiles of login shells.
    return ("/bin/bash", "-l", "-c", f'{before}exec "$@"', "bash") if before else ()
