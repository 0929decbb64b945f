# SPDX-License-Identifier: Apache-2.0
"""hosts.yaml: its keys, and the one-line message of each mistake."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote import yamlsource
from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import load as loading
from mlcube_remote.inventory.host_fields import CHECKS
from mlcube_remote.inventory.load import load
from mlcube_remote.inventory.model import ConnectionKind, HostKeys, Inventory
from mlcube_remote.platforms import PLATFORMS
from mlcube_remote.secret import Secret

REPOSITORY = Path(__file__).parents[3]


def read(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.yaml"
    path.write_text(text)
    return load(path)


SAFE = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:@%\\-]*\$?")
"""Starts no option, and means nothing to a shell, except a backslash."""


def from_text(text: str) -> Inventory:
    document = yamlsource.parse(text, path=Path("hosts.yaml"), error=InventoryError)
    return loading.read(document)


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


def test_a_good_file_sets_all_keys_of_its_hosts(tmp_path: Path) -> None:
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
    'hosts: {a: {port: "22"}}': "65535, got '22'; write it without quotes",
    "hosts: {a: {port: 0}}": "a: port: expected a port between 1 and 65535, got a number (0)",
    "hosts: {a: {port: 022}}": "a: port: YAML reads 022 as 18; write a plain",
    "hosts: {a: {port: 12:30}}": "a: port: YAML reads 12:30 as 750; write",
    "hosts: {a: {connect_timeout: 1:30}}": "a: connect_timeout: YAML reads 1:30 as 90; write",
    "hosts: {a: {port: true}}": "a: port: expected a port between 1 and 65535, got a boolean",
    "hosts: {a: {user: yes}}": "a: user: expected text, got a boolean (True); put it in quotes",
    "hosts: {a: {user: 12}}": "a: user: expected text, got a number (12); put it in quotes",
    "hosts: {a: {user: -oProxyCommand=x}}": "a: user: expected a user name, got '-oProxyCommand=x'",
    "hosts: {a: {address: 'a b'}}": "a: address: expected a host name or an IP address, got 'a b'",
    "hosts: {a: {address: -v}}": "a: address: expected a host name or an IP address, got '-v'",
    "hosts: {a: {address: 'gpu:22'}}": "got 'gpu:22'; the port has its own key",
    "hosts: {a: {address: 'x%h'}}": "a: address: expected a host name or an IP address, got 'x%h'",
    "hosts: {a: {address: 'fe80::1%$(id)'}}": "a: address: expected a host name or an IP address",
    "hosts: {a: {user: a$HOME}}": "a: user: expected a user name, got 'a$HOME'",
    "hosts: {a: {user: '-l'}}": "a: user: expected a user name, got '-l'",
    "hosts: {a: {jump: 'x:99999'}}": "a: jump: expected [user@]host[:port], got 'x:99999'",
    "hosts: {a: {jump: '[x]:22'}}": "a: jump: expected [user@]host[:port], got '[x]:22'",
    "hosts: {a: {jump: gü01}}": "a: jump: expected [user@]host[:port], got 'gü01'",
    "hosts: {a: {known_hosts: /dev/null}}": "keeps host keys, '/dev/null' is a device",
    "hosts: {a: {known_hosts: none}}": "expected a file that keeps host keys, got 'none'",
    "hosts: {local: {connection: ssh}}": "1:17: local: is always this machine; give the host a",
    "hosts: {a: {jump: 'x y'}}": "a: jump: expected [user@]host[:port], got 'x y'",
    "hosts: {a: {jump: -oX}}": "a: jump: expected [user@]host[:port], got '-oX'",
    "hosts: {a: {host_keys: no}}": "expected strict or accept-new, got a boolean (False); the ch",
    "hosts: {a: {host_keys: ignore}}": "the check cannot be switched off",
    "hosts: {a: {host_keys: maybe}}": "a: host_keys: expected strict or accept-new, got 'maybe'",
    "hosts: {a: {gpus: []}}": "expected at least one GPU",
    "hosts: {a: {gpus: [-1]}}": "expected a GPU's number or UUID, got a number (-1)",
    "hosts: {a: {connect_timeout: -1}}": "expected a number of seconds, got a number (-1)",
    "hosts: {a: {connect_timeout: soon}}": "expected a number of seconds, got 'soon'",
    "hosts: {a: {remote_root: here}}": "expected an absolute path, or one that starts with ~/",
    "hosts: {a: {remote_root: /x/../y}}": "a: remote_root: expected an absolute path",
    "hosts: {a: {platform: dokcer}}": "expected one of docker, podman, singularity, apptainer",
    "hosts: {a: {connection: telnet}}": "a: connection: expected ssh or local, got 'telnet'",
    "hosts: {a: {labels: x}}": "a: labels: expected a mapping of names to values, got 'x'",
    "hosts: {a: {labels: {x: }}}": "a: labels: x: expected text, got nothing",
    'hosts: {a: {labels: {x: "\\e[31m"}}}': "a: labels: x: expected text without control",
    "hosts: {a: {labels: {x y: z}}}": "a: labels: expected a name, got 'x y'",
    "hosts: {a: {labels: {x: [y]}}}": "a: labels: x: expected text, got a list",
    "hosts: {a: {env: {1A: x}}}": "a: env: expected the name of a variable, got '1A'",
    "hosts: {a: {env: {A: yes}}}": "a: env: A: expected text; put it in quotes",
    "hosts: {a: {env: {A: {x: y}}}}": "a: env: A: expected text; put it in quotes",
    "hosts: {a: {env: [[x]]}}": "a: env: expected the name of a variable, got a list",
    'hosts: {a: {env: {A: "x\\0"}}}': "a: env: A: the value contains a NUL character",
    "hosts: {a: {password: x}}": "a: password: secrets are not allowed in this",
    "hosts: {a: {Ansible_Password: x}}": "a: Ansible_Password: secrets are not allowed in this",
    "defaults: {key_passphrase: x}": "defaults: key_passphrase: secrets are not allowed in this",
    "hosts: {a: {docker: {dokcer: x}}}": "a: docker: unknown key 'dokcer' (did you mean 'docker'?)",
    "hosts: {a: {docker: {build_strategy: often}}}": "a: docker.build_strategy: expected one of",
    "hosts: {a: {docker: x}}": "docker: expected a mapping, got 'x'",
    "hosts: {a: x}": "a: expected a mapping, got 'x'",
    "hosts: [a]": "hosts: expected a mapping, got a list",
    "hosts: {'-rf': {}}": "expected a host's name of letters, digits, '.', '_' and '-', got '-rf'",
    "hosts: {'a b': {}}": "expected a host's name of letters, digits, '.', '_' and '-', got 'a b'",
    "hosts: {12: {}}": "expected a host's name, got a number (12); put it in quotes",
    "hosts: {'n[\u0661-\u0663]': {}}": "expected numbers in brackets",
    "hosts: {n: {user: {x: y}}}": "n: user: expected text, got a mapping",
    f"hosts: {{{'a' * 101}: {{}}}}": "1:9: expected a host's name of at most 100 characters",
    "hosts: {" + ", ".join(f"'{c}[1-4096]': {{}}" for c in "abcde") + "}": "more than 20,000 hosts",
    "hosts: {'n[3-1]': {}}": "'n[3-1]': the range 3-1 is empty",
    "hosts: {'n[1-': {}}": "'n[1-': brackets do not match",
    "hosts: {'n[a-b]': {}}": "'n[a-b]': expected numbers in brackets, got 'a-b'",
    "hosts: {'n[1-99999]': {}}": "means more than 4096 names",
    "hosts: {'n[1-2]': {}, n2: {}}": "1:23: host 'n2' is defined twice (first at hosts.yaml:1:9)",
    "hosts: {'n[1-2]': {address: 'x[1-3]'}}": "n[1-2]: address: 3 addresses for 2 hosts",
    "hosts: {'n[1-2]': {address: 'x[2-1]'}}": "the range 2-1 is empty",
    "hosts: {all: {}}": "'all' means all hosts and cannot be a host's name",
    "hosts: {a: {}}\ngroups: {a: a}": "2:10: 'a' is already a host (hosts.yaml:1:9)",
    "groups: {local: local}": "1:10: 'local' is already a host (it always exists)",
    "groups: {" + ", ".join(f"g{n}: g{n + 1}" for n in range(99)) + ", g99: local}": "nested more",
    "groups: {all: a}": "'all' means all hosts and cannot be defined as a gr",
    "hosts: {gpu1: {}}\ngroups: {g: gpu2}": "g: unknown host or group 'gpu2' (did you mean",
    "groups: {a: b, b: c, c: a}": "groups contain each other: a → b → c → a",
    "groups: {a: a}": "groups contain each other: a → a",
    "groups: {a: [1]}": "a: expected hosts or groups, got a number (1)",
    "groups: {a: 'n[2-1]'}": "a: 'n[2-1]': the range 2-1 is empty",
    "groups: {'a b': x}": "expected a group's name, got 'a b'",
    "hosts: {a: {}, a: {}}": "1:16: duplicate key 'a' (first on line 1)",
    "hosts:\n\ta: {}": "2:1: found a tab, expected spaces; indent with spaces",
    "hosts:\n  a: b: c": "2:7: unexpected ':'; put the text in quotes",
    "hosts: {a: [}": "is not YAML",
    "hosts: {gpu[01-16]: {}}": "1:12: is not YAML: did not find expected ',' or '}'; put a name",
    "groups: {a: [gpu[01-02]]}": "did not find expected ',' or ']'; put a name with brackets in ",
    "a: 1\n---\nb: 2": "2:1: a second document starts here",
    "hosts: {a: !!python/object:os.system {}}": "is not allowed here",
    "hosts: {a: !!python/name:os.system x}": "is not allowed here",
    "- a": "expected a mapping, got a list",
    BOMB: "more than 100,000 values (aliases and merge keys",
    "a: &a [*a]": "nested more than 50 levels deep",
    'hosts: {a: {user: "x\\0"}}': "expected text without control characters",
}


@pytest.mark.parametrize("text", BAD)
def test_each_mistake_is_one_line_with_its_position(
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


@pytest.mark.parametrize(
    "text",
    [
        "hosts: {a: {env: [TOKEN=hunter2]}}",
        "hosts: {a: {env: TOKEN=hunter2}}",
        "hosts: {a: {env: {TOKEN=hunter2: }}}",
        'hosts: {a: {env: {TOKEN: "hunter2\\0"}}}',
        "hosts: {a: {env: {TOKEN: [hunter2]}}}",
        "hosts: {a: {password: hunter2}}",
        "hosts: {a: {env: {TOKEN: hunter2, TOKEN: hunter2}}}",
        "hosts: {a: {env: {TOKEN: !hunter hunter2}}}",
    ],
)
def test_no_message_shows_a_possible_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, text)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_labels_and_variables_are_as_written_in_the_file(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        "defaults: &d {labels: {cuda: 12.10, rack: 007, big: yes, since: 2024-01-01}}\n"
        "hosts: {a: {env: {MODE: 0755, V: 1.10, T: 12:30}}, b: {<<: *d}}\n",
    )
    labels = {"cuda": "12.10", "rack": "007", "big": "yes", "since": "2024-01-01"}
    assert inventory.hosts["a"].labels == labels
    assert inventory.hosts["b"].labels == labels
    assert inventory.hosts["a"].env == {
        "MODE": Secret("0755"),
        "V": Secret("1.10"),
        "T": Secret("12:30"),
    }


@pytest.mark.parametrize("address", ["::1", "fe80::1%eth0", "10.0.0.1", "a.b-c.org", "_x"])
def test_addresses_of_every_kind_are_accepted(tmp_path: Path, address: str) -> None:
    inventory = read(tmp_path, f"hosts: {{a: {{address: '{address}'}}}}")
    assert inventory.hosts["a"].address == address


@pytest.mark.parametrize("user", ["ada", "DOM\\ada", "ada@corp.org", "machine$", "_x-1"])
def test_users_of_every_kind_are_accepted(tmp_path: Path, user: str) -> None:
    assert read(tmp_path, f"hosts: {{a: {{user: '{user}'}}}}").hosts["a"].user == user


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    inventory = read(
        tmp_path, "hosts: {a: {identity_file: [keys/id, ~/k, /abs, '%d/k'], known_hosts: kh}}"
    )
    host = inventory.hosts["a"]
    assert host.identity_file == (f"{tmp_path}/keys/id", "~/k", "/abs", "%d/k")
    assert host.known_hosts == f"{tmp_path}/kh"


def test_a_bastion_for_all_hosts_has_no_jump_host_itself(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        "defaults: {jump: 'outer,ada@bastion:2222'}\nhosts: {outer: , bastion: , gpu01: }",
    )
    jumps = {name: host.jump for name, host in inventory.hosts.items()}
    assert jumps == {
        "outer": None,
        "bastion": "outer",
        "gpu01": "outer,ada@bastion:2222",
        "local": None,
    }


@given(
    st.text(
        alphabet=st.characters(codec="utf-8") | st.sampled_from("-@$`'\"\\ \n%:;[]"),
        max_size=12,
    )
)
def test_hostile_names_addresses_and_users_are_refused(name: str) -> None:
    quoted = yaml.safe_dump({"hosts": {name: {}}}, allow_unicode=False)
    as_values = yaml.safe_dump({"hosts": {"a": {"address": name, "user": name}}})
    for text in (quoted, as_values):
        try:
            inventory = from_text(text)
        except InventoryError as problem:
            assert "\n" not in problem.message  # noqa: PT017 - many names raise, some don't
            continue
        for host in inventory.hosts.values():
            for value in (host.name, host.address, host.user):
                assert value is None or SAFE.fullmatch(value)


def test_reading_an_inventory_imports_no_large_library() -> None:
    code = (
        "import sys, mlcube_remote.inventory.load, mlcube_remote.inventory.select; "
        "print(*({'paramiko', 'omegaconf', 'rich', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("key", [*CHECKS, *PLATFORMS])
def test_the_reference_explains_every_key(key: str) -> None:
    assert f"`{key}`" in (REPOSITORY / "docs/reference/inventory.md").read_text()


def test_an_address_that_looks_like_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="expected a host name or an IP address"):
        read(tmp_path, "hosts: {a: {address: '-oProxyCommand=x'}}")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"hosts: {a: {user: '\xe9'}}"])
def test_other_encodings_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hosts.yaml").write_bytes(content)
    with pytest.raises(InventoryError, match=r"hosts\.yaml:1: expected UTF-8 text"):
        load(tmp_path / "hosts.yaml")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "hosts").glob("*.yaml")), ids=str)
def test_the_inventories_to_copy_load(path: Path) -> None:
    assert len(load(path).hosts) > 1


@pytest.mark.parametrize("text", ["", "# hosts:\n", "---\n"])
def test_an_empty_file_is_a_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        InventoryError, match=r"hosts\.yaml:\d:1: the file is empty; expected hosts:"
    ):
        read(tmp_path, text)


def test_a_file_without_hosts_has_only_the_local_host(tmp_path: Path) -> None:
    assert list(read(tmp_path, "hosts:\n").hosts) == ["local"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "hosts: {a: {private_home: false}}",
            "setting of singularity and apptainer: apptainer: {private_home: …}",
        ),
        (
            "defaults: {build_strategy: always}",
            "a setting of docker and podman: podman: {build_strategy: …}",
        ),
        ("hosts: {a: {xyzzy: 1}}", "known keys: address, "),
        ("hosts: {a: {docker: {xyzzy: 1}}}", "known keys: image, docker, "),
        ("xyzzy: 1", "known keys: "),
    ],
)
def test_an_unknown_key_gets_its_place_or_all_keys_as_the_hint(
    tmp_path: Path, text: str, hint: str
) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(text)
    with pytest.raises(InventoryError) as caught:
        load(path)
    assert hint in str(caught.value.hint)
    assert len(caught.value.message.splitlines()[0]) < 200
