# SPDX-License-Identifier: Apache-2.0
"""ensure_engine.sh on machines that lack certain programs; fake programs record their calls."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from mlcube_remote.sandbox import engine

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Machine

SCRIPT = Path(engine.__file__).parent / "ensure_engine.sh"
ROOT, USER = "echo 0", '[ "$1" = -u ] && echo 1000 || echo ada'
FAILS = "exit 1"


def test_a_machine_that_has_everything_is_not_changed(machine: Machine) -> None:
    for name in ("docker", "rsync", "ssh", "apt-get", "service", "sudo"):
        machine.has(name)
    machine.has("id", USER)
    assert machine.run(SCRIPT).returncode == 0
    assert {call.split()[0] for call in machine.calls} == {"docker"}


def test_without_root_one_line_names_what_is_missing_and_the_command(
    machine: Machine,
) -> None:
    machine.has("id", USER).has("sudo", FAILS).has("ssh")
    done = machine.run(SCRIPT)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "ensure_engine: not available: rsync docker.io iptables debootstrap acl; run as root: sh "
    )
    assert done.stderr.count("\n") == 1


def test_missing_packages_are_installed_and_the_engine_is_started(machine: Machine) -> None:
    started = machine.bin.parent / "started"
    machine.has("id", ROOT).has("docker", f"[ -e {started} ]").has("service", f": >{started}")
    machine.has("apt-get").has("ssh")
    done = machine.run(SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "apt-get install -y -qq --no-install-recommends rsync docker.io iptables debootstrap"
        in machine.calls
    )


def test_only_rsync_is_installed_if_only_rsync_is_missing(machine: Machine) -> None:
    machine.has("id", ROOT).has("docker").has("apt-get").has("ssh")
    assert machine.run(SCRIPT).returncode == 0
    assert "apt-get install -y -qq --no-install-recommends rsync" in machine.calls


def test_the_new_engine_does_not_keep_the_output_of_the_script_open(machine: Machine) -> None:
    """``make demo | tee log`` would not end otherwise."""
    folder = machine.bin.parent
    machine.has("id", ROOT).has("docker", f"[ -e {folder}/started ]").has("service", FAILS)
    machine.has("dockerd", f"echo $$ >{folder}/pid; : >{folder}/started; exec sleep 60")
    for name in ("rsync", "ssh", "iptables", "debootstrap"):
        machine.has(name)
    assert machine.run(SCRIPT).returncode == 0
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)  # it still runs


def test_a_user_with_sudo_gets_access_to_the_new_engine(machine: Machine) -> None:
    allowed = machine.bin.parent / "allowed"
    machine.has("id", USER).has("sudo", 'shift 2; export SUDO=1; exec "$@"')
    machine.has("docker", f'[ -n "${{SUDO:-}}" ] || [ -e {allowed} ]')
    machine.has("usermod").has("setfacl", f": >{allowed}")
    for name in ("rsync", "ssh", "dockerd", "iptables", "debootstrap"):
        machine.has(name)
    done = machine.run(SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usermod -aG docker ada" in machine.calls
    assert "setfacl -m u:ada:rw /var/run/docker.sock" in machine.calls
    assert not any(call.startswith(("apt-get", "service")) for call in machine.calls)


def test_without_apt_the_message_links_to_dockers_instructions(machine: Machine) -> None:
    machine.has("id", ROOT)
    done = machine.run(SCRIPT)
    assert done.returncode == 1
    assert "https://docs.docker.com/engine/install/" in done.stderr
