# SPDX-License-Identifier: Apache-2.0
"""An image on its way arrives whole, over connections that break and beside other clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from mlcube_remote.files.upload import PARTIAL
from mlcube_remote.sandbox.engine import BASE_IMAGE, docker
from tests.support.cubes import shell_task, write_cube
from tests.support.interrupted_runs import behind, finish
from tests.support.waiting import wait_for
from tests.support.wire import Wire, wire_to

if TYPE_CHECKING:
    from tests.support.hosts import HostFactory, SshHost

SIZE = 12_000_000
IMAGE = "mlcube-remote-test/shipped:1"
ID = ("image", "inspect", "--format", "{{.Id}}", IMAGE)
CRAWL = 100_000
"""Bytes per second: an image takes minutes."""


@attrs.frozen(kw_only=True)
class Journey:
    """A host that has the image, a host that lacks it, and the wires to both."""

    source: SshHost
    host: SshHost
    from_source: Wire
    to_host: Wire
    cube: Path
    inventory: Path

    @contextmanager
    def client(
        self, name: str, *options: str, alone: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a run of a copy of the cube; ``alone``: with records and locks of its own."""
        cube = self.cube.with_name(name)
        shutil.copytree(self.cube, cube)
        other = {"XDG_STATE_HOME": str(cube.with_name(f"state-{name}"))} if alone else {}
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "mlcube_remote", "run", f"--inventory={self.inventory}"),
                *(f"--mlcube={cube}", "--task=say", f"--ship-image={self.source.name}"),
                *(f"--host={self.host.name}", *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **other},
        ) as started:
            try:
                yield started
            finally:
                started.kill()

    def on_the_way(self) -> list[Path]:
        """Return the directories of the host for images that have not arrived."""
        return list(self.host.home.glob(".mlcube-remote/images/ship-*"))

    def require_image(self) -> str:
        """Return the id of the image on the host, which is that of the source."""
        found = self.host.exec(["docker", *ID]).output.decode().strip()
        assert found == docker(*ID).strip()
        assert self.on_the_way() == []
        assert list(self.source.home.glob(".mlcube-remote/images/ship-*")) == []
        return found


@pytest.fixture
def journey(ssh_host: HostFactory, tmp_path: Path) -> Iterator[Journey]:
    source, host = ssh_host(), ssh_host("nested")
    root = write_cube(
        tmp_path / "cube",
        {"say": shell_task('wc -c </data >"${0#*=}/size"', outputs={"out": "out/"})},
        docker={"image": IMAGE},
    )
    recipe = f"FROM {BASE_IMAGE}\nRUN head -c {SIZE} /dev/urandom >/data\n"
    (root / "Dockerfile").write_text(recipe)
    docker("build", "--quiet", "--tag", IMAGE, str(root), timeout=120)
    (root / "Dockerfile").unlink()
    with ExitStack() as stack:
        stack.callback(docker, "image", "rm", "--force", IMAGE)
        stack.callback(host.exec, ["docker", "image", "rm", "--force", IMAGE])
        wires = [stack.enter_context(wire_to(each.port)) for each in (source, host)]
        inventory = tmp_path / "hosts.yaml"
        hosts = {}
        for each, wire in zip((source, host), wires, strict=True):
            (tmp_path / each.name).mkdir()
            entry = yaml.safe_load(behind(each, wire, tmp_path / each.name).read_text())
            hosts.update(entry["hosts"])
        inventory.write_text(yaml.safe_dump({"hosts": hosts}))
        yield Journey(
            source=source,
            host=host,
            from_source=wires[0],
            to_host=wires[1],
            cube=root,
            inventory=inventory,
        )


def hold_after(wire: Wire, part: float, client: subprocess.Popen[str]) -> None:
    """Wait until a part of the image has passed; no more passes until the wire is cut."""
    wire.holds_at = wire.relayed + int(part * SIZE)

    def is_held() -> bool:
        assert client.poll() is None, finish(client).stderr
        return wire.relayed >= (wire.holds_at or 0)

    wait_for(is_held, seconds=60)


def cut(wire: Wire) -> None:
    wire.cut()
    wire.holds_at = None
    wire.restore()


def test_an_image_goes_on_where_a_cut_or_a_killed_client_left_it(journey: Journey) -> None:
    source, host = journey.source, journey.host
    with journey.client("first") as client:
        for wire, part in ((journey.from_source, 0.6), (journey.to_host, 0.2)):
            hold_after(wire, part, client)
            cut(wire)
        hold_after(journey.to_host, 0.6, client)
        client.send_signal(signal.SIGKILL)
        client.communicate()
        cut(journey.to_host)
    assert journey.from_source.relayed < SIZE * 1.5
    (there,) = journey.on_the_way()

    def kept() -> int:
        return max((path.stat().st_size for path in there.glob(f"{PARTIAL}/*")), default=0)

    wait_for(lambda: kept() > SIZE * 0.1, seconds=60)
    rest = SIZE - kept()
    before = journey.to_host.relayed
    with journey.client("second", f"--host={source.name}") as client:
        done = finish(client)
    assert done.returncode == 0, done.stderr
    assert journey.to_host.relayed - before < rest + SIZE * 0.1
    records = [
        json.loads(path.read_text())
        for path in journey.cube.parent.glob("second/**/attempts/*.json")
    ]
    assert {record["host"] for record in records} == {source.name, host.name}
    ran = {record["provenance"]["image"]["id"] for record in records}
    assert {f"sha256:{found}" for found in ran} == {journey.require_image()}


def test_clients_that_send_one_image_do_not_disturb_each_other(journey: Journey) -> None:
    journey.to_host.rate = CRAWL
    with ExitStack() as stack:
        clients = [
            stack.enter_context(journey.client(name, alone=True)) for name in ("first", "second")
        ]

        def both_are_sending() -> bool:
            for client in clients:
                assert client.poll() is None, finish(client).stderr
            return len(journey.on_the_way()) == 2

        wait_for(both_are_sending, seconds=60)
        journey.to_host.rate = None
        every = [finish(client) for client in clients]
    assert [done.returncode for done in every] == [0, 0], [done.stderr for done in every]
    journey.require_image()
