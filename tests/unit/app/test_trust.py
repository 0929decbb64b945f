# SPDX-License-Identifier: Apache-2.0
"""The user's yes to a cube: what is shown, what is remembered, what is refused without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.app import trust
from mlcube_remote.app.inventory import open_found, open_inventory
from mlcube_remote.app.options import (
    ContainerOptions,
    CubeOptions,
    HostOptions,
    RunOptions,
    TaskOptions,
)
from mlcube_remote.app.request import make_request
from mlcube_remote.errors import InventoryError, PlanError, RecordError
from mlcube_remote.inventory.locate import FoundInventory
from mlcube_remote.plan.plan import plan_jobs

CUBE = """\
docker: {image: "i:${oc.env:THE_TAG}", gpu_args: --privileged}
tasks:
  go: {parameters: {inputs: {data: {type: directory, default: /usr/lib}}}}
"""


@pytest.fixture
def cube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MLCUBE_REMOTE_INVENTORY", raising=False)
    monkeypatch.setenv("THE_TAG", "7")
    folder = tmp_path / "cube"
    (folder / "workspace").mkdir(parents=True)
    (folder / "mlcube.yaml").write_text(CUBE)
    monkeypatch.chdir(folder)
    return folder


def options(*, trust_cube: bool = False) -> RunOptions:
    return RunOptions(
        hosts=HostOptions(names=("local",)),
        tasks=TaskOptions(names=("go",)),
        container=ContainerOptions(trust_cube=trust_cube),
    )


def allow(cube: Path) -> None:
    trust.allow(trust.review(CubeOptions(path=str(cube))))


def test_a_yes_is_remembered_for_what_was_shown(cube: Path) -> None:
    with pytest.raises(PlanError, match="without your trust"):
        plan_jobs(make_request(options())[0])
    allow(cube)
    request, _ = make_request(options())
    assert plan_jobs(request)
    assert request.cube.settings["docker"]["image"] == "i:7"
    (cube / "mlcube.yaml").write_text(CUBE.replace("/usr/lib", "/usr/bin"))
    with pytest.raises(PlanError, match="/usr/bin on the host"):
        plan_jobs(make_request(options())[0])
    new = trust.review(CubeOptions(path=str(cube))).new
    assert [request.what for request in new] == [
        "task go: input data: /usr/bin on the host, writable"
    ]


def test_the_flag_counts_for_one_command(cube: Path) -> None:
    assert plan_jobs(make_request(options(trust_cube=True))[0])
    with pytest.raises(PlanError):
        plan_jobs(make_request(options())[0])


def test_a_yes_can_be_withdrawn_and_is_for_one_cube(cube: Path, tmp_path: Path) -> None:
    allow(cube)
    cube.rename(tmp_path / "moved")
    assert trust.review(CubeOptions(path=str(tmp_path / "moved"))).new, "another place"
    (tmp_path / "moved").rename(cube)
    assert not trust.review(CubeOptions(path=str(cube))).new
    assert trust.withdraw(CubeOptions(path=str(cube / "mlcube.yaml")))
    assert trust.review(CubeOptions(path=str(cube))).new
    assert not trust.withdraw(CubeOptions(path=str(cube)))


def test_a_damaged_record_is_no_yes(cube: Path, tmp_path: Path) -> None:
    allow(cube)
    (record,) = (tmp_path / "state").rglob("*.json")
    assert record.stat().st_mode & 0o777 == 0o600
    for damaged in ("", "[]", '{"format": 1}', '{"format": 9, "requests": []}'):
        record.write_text(damaged)
        with pytest.raises(RecordError):
            make_request(options())


PLAIN = """\
defaults: {port: 2222, labels: {gpu: a100}}
hosts: {gpu01: {address: 10.0.0.1, user: me, jump: gate, slots: 2, connection: ssh}}
groups: {lab: [gpu01]}
"""
POWERFUL = [
    "connection: local",
    "docker: {docker: 'sh -c x'}",
    "docker: {gpu_args: --privileged}",
    "env: {AWS_SECRET_ACCESS_KEY: }",
    "env: {TOKEN: s3cr3t}",
    "host_keys: accept-new",
    "known_hosts: mine",
    "identity_file: ~/.ssh/id_rsa",
    "remote_root: /srv/x",
    "launcher: slurm",
    "slurm: {setup: rm -rf x}",
    "slurm: {extra: [--account=yours]}",
]


def test_a_plain_list_of_hosts_needs_no_question(cube: Path) -> None:
    (cube / "hosts.yaml").write_text(PLAIN)
    assert "gpu01" in open_inventory(None).hosts
    assert "gpu01" in make_request(options(trust_cube=True))[1].hosts


@pytest.mark.parametrize("key", POWERFUL)
@pytest.mark.parametrize("place", ["hosts: {{gpu01: {{{}}}}}", "defaults: {{{}}}"])
def test_keys_with_power_in_the_inventory_of_a_cube_need_trust(
    cube: Path, tmp_path: Path, key: str, place: str
) -> None:
    file = cube / "hosts.yaml"
    file.write_text(place.format(key))
    for attempt in (
        lambda: open_inventory(None),
        lambda: open_inventory(None, str(cube)),
        lambda: make_request(options()),
        # `attach` opens the file that a run has recorded.
        lambda: open_found(FoundInventory(path=file, cube=cube)),
    ):
        with pytest.raises(InventoryError, match=r"hosts\.yaml:1:\d+: a cube may not ask") as error:
            attempt()
        assert "s3cr3t" not in f"{error.value} {error.value.hint}"
    assert make_request(options(trust_cube=True))
    # The user names it, so the user has read it.
    assert open_inventory(str(file))
    allow(cube)
    assert open_inventory(None)
    assert "s3cr3t" not in "".join(
        path.read_text() for path in (tmp_path / "state").rglob("*.json")
    )
    file.write_text(place.format("identity_file: /another"))
    with pytest.raises(InventoryError):
        open_inventory(None)


def test_a_run_records_whose_inventory_it_used(cube: Path, tmp_path: Path) -> None:
    (cube / "hosts.yaml").write_text(PLAIN)
    request, _ = make_request(options(trust_cube=True))
    assert request.inventory_cube == str(cube)
    own = tmp_path / "config" / "mlcube-remote" / "hosts.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(PLAIN)
    request, _ = make_request(options(trust_cube=True))
    assert (request.inventory, request.inventory_cube) == (str(own), None)
