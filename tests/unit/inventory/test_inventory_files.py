# SPDX-License-Identifier: Apache-2.0
"""hosts.yaml: what it may say, and the one line that names each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.locate import open_inventory
from mlcube_remote.inventory.model import ConnectionKind, HostKeys, Inventory
from mlcube_remote.secret import Secret

REPOSITORY = Path(__file__).parents[3]


def read(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.yaml"
    path.write_text(text)
    return load(path)


GOOD = """
defaults:
  user: ada
  labels: {site: lab}
  docker: {docker: sudo docker}
hosts:
  gpu[01-03]:
    address: gpu[01-03].lab.org
    labels: {gpu: a100}
    docker: {gpu_args: --shm-size=1g}
  odd:
    address: 10.0.0.7
    port: 2222
    user: bob
    identity_file: [~/.ssh/a, ~/.ssh/b]
    jump: bastion.lab.org:22,gpu01
    host_keys: accept-new
    connect_timeout: 2.5
    keepalive: 0
    remote_root: /scratch/x/
    platform: podman
    env: {A: "1", B: }
  local:
    env: [TOKEN]
groups:
  train: gpu[01-02]
  everything: [train, odd]
"""


def test_a_good_file_says_everything_about_its_hosts(tmp_path: Path) -> None:
    inventory = read(tmp_path, GOOD)
    assert list(inventory.hosts) == ["gpu01", "gpu02", "gpu03", "odd", "local"]
    first, odd, local = (inventory.hosts[name] for name in ("gpu01", "odd", "local"))
    assert (first.address, first.user) == ("gpu01.lab.org", "ada")
    assert first.labels == {"site": "lab", "gpu": "a100"}
    assert first.settings["docker"] == {"docker": "sudo docker", "gpu_args": "--shm-size=1g"}
    assert (odd.port, odd.user, odd.host_keys) == (2222, "bob", HostKeys.ACCEPT_NEW)
    assert odd.identity_file == ("~/.ssh/a", "~/.ssh/b")
    assert (odd.connect_timeout, odd.keepalive) == (2.5, 0.0)
    assert (odd.remote_root, odd.platform) == ("/scratch/x", "podman")
    assert odd.env == {"A": Secret("1"), "B": None}
    assert local.connection is ConnectionKind.LOCAL
    assert local.env == {"TOKEN": None}
    assert inventory.groups["everything"] == ("gpu01", "gpu02", "odd")


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6)
)

BAD = {
    "hosts: {a: {prot: 22}}": "1:13: a: unknown key 'prot' (did you mean 'port'?)",
    "hosts: {a: {indentity_file: x}}": "a: unknown key 'indentity_file' (did you mean 'identity_f",
    "host: {a: {}}": "1:1: unknown key 'host' (did you mean 'hosts'?)",
    "hosts: {a: {port: 22x}}": "1:13: a: port: expected a port between 1 and 65535, got '22x'",
    "hosts: {a: {port: 0}}": "a: port: expected a port between 1 and 65535, got a number (0)",
    "hosts: {a: {port: true}}": "a: port: expected a port between 1 and 65535, got a boolean",
    "hosts: {a: {user: yes}}": "a: user: expected text, got a boolean (True); put it in quotes",
    "hosts: {a: {user: 12}}": "a: user: expected text, got a number (12); put it in quotes",
    "hosts: {a: {user: -oProxyCommand=x}}": "a: user: expected a user name, got '-oProxyCommand=x'",
    "hosts: {a: {address: 'a b'}}": "a: address: expected a host name or an IP address, got 'a b'",
    "hosts: {a: {jump: 'x y'}}": "a: jump: expected [user@]host[:port], got 'x y'",
    "hosts: {a: {jump: -oX}}": "a: jump: expected [user@]host[:port], got '-oX'",
    "hosts: {a: {host_keys: no}}": "expected strict or accept-new, got a boolean (False); the ch",
    "hosts: {a: {host_keys: ignore}}": "the check cannot be switched off",
    "hosts: {a: {host_keys: maybe}}": "a: host_keys: expected strict or accept-new, got 'maybe'",
    "hosts: {a: {connect_timeout: -1}}": "expected a number of seconds, got a number (-1)",
    "hosts: {a: {connect_timeout: soon}}": "expected a number of seconds, got 'soon'",
    "hosts: {a: {remote_root: here}}": "expected an absolute path, or one that begins with ~/",
    "hosts: {a: {remote_root: /x/../y}}": "a: remote_root: expected an absolute path",
    "hosts: {a: {platform: dokcer}}": "expected one of docker, podman, singularity, apptainer",
    "hosts: {a: {connection: telnet}}": "a: connection: expected ssh or local, got 'telnet'",
    "hosts: {a: {labels: x}}": "a: labels: expected a mapping of names to values, got 'x'",
    "hosts: {a: {labels: {x: }}}": "a: labels: x: expected text, got nothing",
    "hosts: {a: {env: {1A: x}}}": "a: env: expected the name of a variable, got '1A'",
    "hosts: {a: {env: {A: yes}}}": "a: env: A: expected text; put it in quotes",
    "hosts: {a: {env: x}}": "a: env: expected variables, got 'x'",
    "hosts: {a: {password: x}}": "a: password: secrets never stand in the file",
    "hosts: {a: {docker: {dokcer: x}}}": "a: docker: unknown key 'dokcer' (did you mean 'docker'?)",
    "hosts: {a: {docker: {build_strategy: often}}}": "a: docker.build_strategy: expected one of",
    "hosts: {a: {docker: x}}": "docker: expected a mapping, got 'x'",
    "hosts: {a: x}": "a: expected a mapping, got 'x'",
    "hosts: [a]": "hosts: expected a mapping, got a list",
    "hosts: {'-rf': {}}": "expected a host's name of letters, digits, '.', '_' and '-', got '-rf'",
    "hosts: {'a b': {}}": "expected a host's name of letters, digits, '.', '_' and '-', got 'a b'",
    "hosts: {12: {}}": "expected a host's name, got a number (12); put it in quotes",
    "hosts: {'n[3-1]': {}}": "'n[3-1]': the range 3-1 is empty",
    "hosts: {'n[1-': {}}": "'n[1-': brackets do not match",
    "hosts: {'n[a-b]': {}}": "'n[a-b]': expected numbers in brackets, got 'a-b'",
    "hosts: {'n[1-99999]': {}}": "stands for more than 4096 names",
    "hosts: {'n[1-2]': {}, n2: {}}": "1:23: host 'n2' is there twice (first at hosts.yaml:1:9)",
    "hosts: {'n[1-2]': {address: 'x[1-3]'}}": "n[1-2]: address: 3 addresses for 2 hosts",
    "hosts: {'n[1-2]': {address: 'x[2-1]'}}": "the range 2-1 is empty",
    "hosts: {all: {}}": "'all' stands for every host and cannot name one",
    "hosts: {a: {}}\ngroups: {a: a}": "2:10: 'a' is a host already (hosts.yaml:1:9)",
    "groups: {all: a}": "'all' stands for every host and cannot be defined",
    "hosts: {gpu1: {}}\ngroups: {g: gpu2}": "g: unknown host or group 'gpu2' (did you mean",
    "groups: {a: b, b: c, c: a}": "groups contain each other: a → b → c → a",
    "groups: {a: a}": "groups contain each other: a → a",
    "groups: {a: [1]}": "a: expected hosts or groups, got a number (1)",
    "groups: {a: 'n[2-1]'}": "a: 'n[2-1]': the range 2-1 is empty",
    "groups: {'a b': x}": "expected a group's name, got 'a b'",
    "hosts: {a: {}, a: {}}": "1:16: duplicate key 'a' (first on line 1)",
    "hosts:\n\ta: {}": "2:1: a tab where YAML wants spaces; indent with spaces",
    "hosts:\n  a: b: c": "2:7: a ':' that begins no value here",
    "hosts: {a: [}": "is not YAML",
    "a: 1\n---\nb: 2": "2:1: a second document begins here",
    "hosts: {a: !!python/object:os.system {}}": "is not allowed here",
    "hosts: {a: !!python/name:os.system x}": "is not allowed here",
    "- a": "expected a mapping, got a list",
    BOMB: "more than 100,000 values (aliases?)",
    "a: &a [*a]": "nested more than 50 deep",
    'hosts: {a: {user: "x\\0"}}': "expected text without control characters",
}


@pytest.mark.parametrize("text", BAD)
def test_each_mistake_is_one_line_that_names_its_place(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InventoryError) as caught:
        read(Path(), text)
    message = str(caught.value)
    assert message.startswith("hosts.yaml")
    assert BAD[text] in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_an_address_that_looks_like_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="expected a host name or an IP address"):
        read(tmp_path, "hosts: {a: {address: '-oProxyCommand=x'}}")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"hosts: {a: {user: '\xe9'}}"])
def test_other_encodings_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hosts.yaml").write_bytes(content)
    with pytest.raises(InventoryError, match=r"hosts\.yaml:1: expected UTF-8 text"):
        load(tmp_path / "hosts.yaml")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "hosts").glob("*.yaml")), ids=str)
def test_the_inventories_to_copy_load(path: Path) -> None:
    assert len(load(path).hosts) > 1


def test_an_empty_file_has_only_this_machine(tmp_path: Path) -> None:
    assert list(read(tmp_path, "").hosts) == ["local"]


def test_inventories_are_looked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: str, host: str) -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        path = tmp_path / folder / "hosts.yaml"
        path.write_text(f"hosts: {{{host}: {{}}}}")
        return path

    def found() -> str:
        return next(iter(open_inventory(None, tmp_path / "cube").hosts))

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert found() == "local"
    write("config/mlcube-remote", "configured")
    assert found() == "configured"
    write("cube", "beside")
    assert found() == "beside"
    write("here", "here")
    assert found() == "here"
    monkeypatch.setenv("MLCUBE_REMOTE_INVENTORY", str(write("env", "env")))
    assert found() == "env"
    explicit = write("explicit", "explicit")
    assert "explicit" in open_inventory(str(explicit.parent), tmp_path).hosts
    with pytest.raises(InventoryError, match=r"--inventory: .*nowhere\.yaml: no such file"):
        open_inventory("nowhere.yaml", tmp_path)
