# SPDX-License-Identifier: Apache-2.0
"""Settings of ssh_config apply, as the real ``ssh -G`` prints them."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

import pytest

from mlcube_remote.errors import InventoryError
from mlcube_remote.inventory import sshconfig
from mlcube_remote.inventory.load import empty, load
from mlcube_remote.inventory.model import Host
from mlcube_remote.inventory.select import select
from mlcube_remote.inventory.ssh_config_names import list_ssh_names
from mlcube_remote.inventory.sshconfig import CONFIG_VARIABLE, is_configured, resolve

CONFIG = """
Include {folder}/more
Host gpu01
    HostName gpu01.example.org
    Port 2201
    User grace
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_a {folder}/known_b
    ProxyJump bob@bastion:2022
Host proxied
    HostName 10.9.8.7
    ProxyCommand nc --proxy %h:%p %r %%
Host aliased
    HostKeyAlias the-key
    IdentityAgent {folder}/agent.sock
Match host special user ada
    Port 7777
"""
MORE = """
Host included
    HostName included.example.org
Host bastion
    HostName bastion.example.org
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "more").write_text(MORE)
    (tmp_path / "key").write_text("")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))
    return tmp_path


def test_a_name_that_only_ssh_config_knows_works_without_an_inventory(folder: Path) -> None:
    (host,) = select(empty(), ["gpu01"])
    endpoint = resolve(host, empty())
    assert (endpoint.hostname, endpoint.port, endpoint.user) == ("gpu01.example.org", 2201, "grace")
    assert endpoint.identity_files == (f"{folder}/key",)
    assert endpoint.identities_only
    assert endpoint.user_known_hosts_files == (f"{folder}/known_a", f"{folder}/known_b")
    (hop,) = endpoint.proxy_jump
    assert (hop.hostname, hop.port, hop.user) == ("bastion.example.org", 2022, "bob")


def test_included_files_are_read() -> None:
    assert is_configured("included")
    assert resolve(Host(name="included"), empty()).hostname == "included.example.org"


def test_a_typo_is_not_an_address() -> None:
    assert not is_configured("gup01")
    with pytest.raises(
        InventoryError, match=r"host 'gup01' is not in hosts\.yaml or ~/\.ssh/config"
    ):
        select(empty(), ["gup01"])


def test_paths_with_the_name_in_settings_for_all_do_not_configure_it(folder: Path) -> None:
    with (folder / "config").open("a") as config:
        config.write(
            f"Host *\n  ControlPath {folder}/%C-%h\n  IdentityAgent {folder}/%h.sock\n"
            f"  UserKnownHostsFile {folder}/known_%k\n"
        )
    assert not is_configured("gup01")
    assert not is_configured("a")
    assert is_configured("gpu01")


def test_a_domain_for_all_names_configures_each(folder: Path) -> None:
    with (folder / "config").open("a") as config:
        config.write("Host *\n  HostName %h.lab.example.org\n")
    assert is_configured("anything")
    endpoint = resolve(select(empty(), ["anything"])[0], empty())
    assert endpoint.hostname == "anything.lab.example.org"


def test_match_uses_the_inventorys_user() -> None:
    assert resolve(Host(name="special", user="ada"), empty()).port == 7777
    assert resolve(Host(name="special", user="bob"), empty()).port == 22


def test_the_inventorys_keys_override_ssh_config(folder: Path) -> None:
    host = Host(
        name="x", address="gpu01", port=99, user="me", identity_file=("/k",), known_hosts="/kh"
    )
    endpoint = resolve(host, empty())
    assert (endpoint.hostname, endpoint.port, endpoint.user) == ("gpu01.example.org", 99, "me")
    assert endpoint.identity_files == ("/k",)
    assert endpoint.identities_only
    assert endpoint.user_known_hosts_files == ("/kh",)
    assert endpoint.global_known_hosts_files == ()
    assert resolve(Host(name="gpu01", jump="none"), empty()).proxy_jump == ()


def test_tokens_in_proxy_commands_are_expanded() -> None:
    endpoint = resolve(Host(name="proxied", user="ada", port=23), empty())
    assert endpoint.proxy_command == "nc --proxy 10.9.8.7:23 ada %"


def test_tokens_in_paths_of_keys_are_expanded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config").write_text(
        f"Host t\n  HostName t.org\n  User eve\n  Port 24\n"
        f"  IdentityFile {folder}/%h_%r_%p_%n_%%\n  IdentityFile ${{KEYS}}/k\n"
        f"  IdentityFile {folder}/%u_%i_%L\n  IdentityFile {folder}/absent\n"
    )
    monkeypatch.setenv("KEYS", str(folder))
    machine = socket.gethostname().partition(".")[0]
    keys = ["t.org_eve_24_t_%", "k", f"{getpass.getuser()}_{os.getuid()}_{machine}"]
    for key in keys:
        (folder / key).write_text("")
    endpoint = resolve(Host(name="t"), empty())
    assert endpoint.identity_files == tuple(f"{folder}/{key}" for key in keys)
    endpoint = resolve(Host(name="t", identity_file=("/k/%h",)), empty())
    assert endpoint.identity_files == ("/k/t.org",)


def test_known_hosts_may_have_spaces(folder: Path) -> None:
    (folder / "config").write_text(f'Host s\n  UserKnownHostsFile "{folder}/a b" {folder}/c\n')
    files = resolve(Host(name="s"), empty()).user_known_hosts_files
    assert files == (f"{folder}/a b", f"{folder}/c")


def test_host_key_aliases_and_agents_apply(folder: Path) -> None:
    endpoint = resolve(Host(name="aliased"), empty())
    assert endpoint.host_key_alias == "the-key"
    assert endpoint.identity_agent == f"{folder}/agent.sock"


def test_jump_hosts_may_be_hosts_of_the_inventory(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(
        "hosts: {door: {address: 10.0.0.1, user: eve}, deep: {address: 10.0.0.2, jump: door},"
        " deeper: {address: 10.0.0.3, jump: 'deep:44'}}"
    )
    inventory = load(path)
    hops = resolve(inventory.hosts["deeper"], inventory).proxy_jump
    assert [(hop.hostname, hop.port) for hop in hops] == [("10.0.0.1", 22), ("10.0.0.2", 44)]
    assert hops[0].user == "eve"


def test_only_the_first_of_several_jump_hosts_has_its_own_jump_hosts(folder: Path) -> None:
    (folder / "config").write_text(
        "Host outer\n  ProxyJump outermost\nHost inner\n  ProxyJump outer\n"
        "Host deep\n  ProxyJump ssh://bob@outer:2022,inner\n"
    )
    hops = resolve(Host(name="deep"), empty()).proxy_jump
    assert [hop.hostname for hop in hops] == ["outermost", "outer", "inner"]
    assert (hops[1].user, hops[1].port) == ("bob", 2022)
    assert all(hop.proxy_jump == () and hop.proxy_command is None for hop in hops)


def test_this_machine_cannot_be_a_jump_host() -> None:
    with pytest.raises(InventoryError, match="a: jump: 'local' is this machine"):
        resolve(Host(name="a", jump="local"), empty())


def test_an_ssh_that_does_not_answer_is_a_timeout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config").write_text('Match exec "sleep 5"\n  Port 1\n')
    monkeypatch.setattr(sshconfig, "_TIMEOUT_S", 0.3)
    with pytest.raises(InventoryError, match="no answer from ssh -G after"):
        resolve(Host(name="x"), empty())


def test_only_the_first_mistake_in_ssh_config_is_shown(folder: Path) -> None:
    (folder / "config").write_text("Hots x\nProt y\n")
    with pytest.raises(
        InventoryError, match=r"line 1: Bad configuration option: hots(?:\n|$)"
    ) as caught:
        is_configured("x")
    assert caught.value.hint == f"run: ssh -G -F {folder}/config x"


def test_jump_hosts_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text("hosts: {a: {jump: b}, b: {jump: a}}")
    inventory = load(path)
    with pytest.raises(InventoryError, match="circle: a → b → a"):
        resolve(inventory.hosts["a"], inventory)


def test_a_mistake_in_ssh_config_is_shown_in_sshs_words(folder: Path) -> None:
    (folder / "config").write_text("Hots x\n")
    with pytest.raises(InventoryError, match="Bad configuration option: hots"):
        resolve(Host(name="x"), empty())


def test_openssh_defaults_apply_without_an_ssh_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    endpoint = resolve(Host(name="x", address="10.0.0.1", user="ada"), empty())
    assert (endpoint.hostname, endpoint.port, endpoint.user) == ("10.0.0.1", 22, "ada")
    assert endpoint.user_known_hosts_files[0].endswith("/.ssh/known_hosts")
    assert not is_configured("gpu01")


@pytest.mark.parametrize(
    ("typed", "suggested"), [("gpu1", "gpu01"), ("proxed", "proxied"), ("includd", "included")]
)
def test_names_of_ssh_config_and_its_includes_are_suggested(typed: str, suggested: str) -> None:
    with pytest.raises(InventoryError, match=rf"did you mean '{suggested}'\?"):
        select(empty(), [typed])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Host a b\n", ("a", "b")),
        ("host=a\n  HOST  b\n", ("a", "b")),
        ('Host "a" !b c* d? \n', ("a",)),
        ("Host a # b\nHostName x\n#Host c\n", ("a",)),
        ("Include {folder}/more {folder}/missing\nHost a\n", ("included", "bastion", "a")),
        ("Include {folder}/config\nHost a\n", ("a",)),
        ('Host "a\n', ('"a',)),
    ],
)
def test_names_are_listed_without_patterns(folder: Path, text: str, names: tuple[str, ...]) -> None:
    (folder / "config").write_text(text.format(folder=folder))

    assert list_ssh_names(str(folder / "config")) == names


def test_a_missing_ssh_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(InventoryError, match=r"ssh, which reads ~/.ssh/config, was not found"):
        select(empty(), ["gpu1"])
