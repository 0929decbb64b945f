# SPDX-License-Identifier: Apache-2.0
"""Ways to run hello_world on the hosts of a sandbox: mlcube-remote, and common alternatives.

All use the same containers and keys, and all hosts in parallel. mlcube-remote runs on a copy of the
cube, because the outputs that it pulls from many hosts are in the cube's folder, and the others
should not have to upload them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from mlcube_remote.sandbox import SandboxHost

ROOT = Path(__file__).parent.parent
CUBE = ROOT / "examples" / "hello_world"
IMAGE = "mlcube-remote/hello_world:0.1"


@attrs.frozen
class Contender:
    """One way to run the task on all hosts."""

    name: str
    argv: Sequence[str]
    stdin: bytes = b""
    env: dict[str, str] = attrs.field(factory=dict)

    def start(self, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start it, give it its input, and do not wait for it.

        Args:
            stdout: Where its output goes, as for :class:`subprocess.Popen`.
        """
        child = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            env=os.environ | self.env,
        )
        assert child.stdin is not None
        with child.stdin as stdin:
            stdin.write(self.stdin)
        return child


def contenders(
    hosts: Sequence[SandboxHost], state: Path, ansible: Path | None
) -> tuple[Contender, ...]:
    """Return all contenders, ours first.

    Args:
        hosts: The hosts to run on.
        state: Directory of the sandbox, with its key and its inventory.
        ansible: The program ``ansible-playbook``; ``None``: omit Ansible.
    """
    ways = [
        ours(hosts, state),
        _in_parallel("loop", [_loop(host, state) for host in hosts]),
        _in_parallel("bare", [_run(host, state) for host in hosts]),
        _docker_over_ssh(hosts, state),
    ]
    if ansible is not None:
        ways.append(_ansible(hosts, state, ansible))
    return tuple(ways)


def ours(hosts: Sequence[SandboxHost], state: Path) -> Contender:
    """Return ``mlcube-remote run`` on a copy of the cube; see :func:`contenders`."""
    cube = state / "ours"
    shutil.copytree(CUBE, cube, ignore=shutil.ignore_patterns("results"), dirs_exist_ok=True)
    program = Path(sys.executable).with_name("mlcube-remote")
    names = ",".join(host.name for host in hosts)
    argv = [str(program), "run", "--inventory", str(state / "hosts.yaml"), f"--host={names}"]
    argv += [f"--parallel={len(hosts)}", f"--mlcube={cube}", "--task=hello", "--quiet"]
    return Contender("ours", argv, env={"XDG_STATE_HOME": str(state / "client")})


def _in_parallel(name: str, scripts: Sequence[str]) -> Contender:
    argv = ["xargs", "-0", "-n", "1", "-P", str(len(scripts)), "sh", "-ec"]
    return Contender(name, argv, "\0".join(scripts).encode())


def _loop(host: SandboxHost, state: Path) -> str:
    up, down = _copies(host, state)
    return f"{shlex.join(up)} && {_run(host, state)} && {shlex.join(down)}"


def _copies(host: SandboxHost, state: Path) -> tuple[list[str], list[str]]:
    """Return the commands that upload the cube and download its workspace."""
    rsync = ["rsync", "-a", "--exclude=/results", "-e", _ssh(host, state)]
    remote = f"mlcube@127.0.0.1:{host.home}/loop"
    local = f"{state / f'back-{host.name}'}/"
    return [*rsync, f"{CUBE}/", f"{remote}/"], [*rsync, f"{remote}/workspace/", local]


def _run(host: SandboxHost, state: Path) -> str:
    return f"{_ssh(host, state)} mlcube@127.0.0.1 {shlex.quote(_container(host))}"


def _container(host: SandboxHost) -> str:
    workspace = host.home / "loop" / "workspace"
    return shlex.join(
        [
            *("docker", "run", "--rm", "--volume", f"{workspace}/names:/mlcube_io0"),
            *("--volume", f"{workspace}/chats:/mlcube_io1", IMAGE, "hello"),
            *("--name=/mlcube_io0/alice.txt", "--chat=/mlcube_io1/chat_with_alice.txt"),
        ]
    )


def _docker_over_ssh(hosts: Sequence[SandboxHost], state: Path) -> Contender:
    """Return ``docker -H ssh://HOST run``, without copies.

    The docker program runs the ``ssh`` that it finds on PATH, with no option for a key.
    """
    wrapper = state / "docker-ssh" / "ssh"
    wrapper.parent.mkdir(exist_ok=True)
    ssh = shutil.which("ssh") or "/usr/bin/ssh"
    words = shlex.join([ssh, *_key(state), "-o", "BatchMode=yes"])
    wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    wrapper.chmod(0o755)
    way = _in_parallel(
        "docker-ssh",
        [f"DOCKER_HOST=ssh://mlcube@127.0.0.1:{host.port} {_container(host)}" for host in hosts],
    )
    path = f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"
    return attrs.evolve(way, env={"PATH": path})


def _ssh(host: SandboxHost, state: Path) -> str:
    options = ["ssh", "-p", str(host.port), *_key(state), "-o", "BatchMode=yes"]
    return shlex.join(options)


def _key(state: Path) -> list[str]:
    known_hosts = f"UserKnownHostsFile={state / 'known_hosts'}"
    return ["-i", str(state / "id_ed25519"), "-o", known_hosts]


def _ansible(hosts: Sequence[SandboxHost], state: Path, program: Path) -> Contender:
    """Return the playbook: rsync up, the container, rsync down.

    ``raw`` is the fastest way to run a command, and the only one that needs no Python on the
    hosts. rsync runs on this machine, as with ansible.posix.synchronize.
    """
    host_vars = {}
    for host in hosts:
        up, down = _copies(host, state)
        host_vars[host.name] = {
            "ansible_host": "127.0.0.1",
            "ansible_port": host.port,
            "ansible_user": "mlcube",
            "ansible_ssh_common_args": shlex.join(_key(state)),
            "up": up,
            "container": _container(host),
            "down": down,
        }
    copies = [
        {
            "ansible.builtin.command": {"argv": f"{{{{ {name} }}}}"},
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local"},
        }
        for name in ("up", "down")
    ]
    tasks = [copies[0], {"ansible.builtin.raw": "{{ container }}"}, copies[1]]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    folder = state / f"ansible-{len(hosts)}"
    folder.mkdir(exist_ok=True)
    # JSON is YAML.
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": host_vars}}))
    (folder / "play.yml").write_text(json.dumps(play))
    argv = [str(program), "-i", str(folder / "hosts.json"), str(folder / "play.yml")]
    env = {"ANSIBLE_HOME": str(folder), "ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8"}
    return Contender("ansible", [*argv, f"--forks={len(hosts)}"], env=env)
