# SPDX-License-Identifier: Apache-2.0
"""YAML with positions: what is read, its position, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote import yamlsource
from mlcube_remote.errors import CubeError, InventoryError
from mlcube_remote.yamlsource import SHALLOW_CHARS, YamlDocument

PATH = Path("f.yaml")


def parse(text: str) -> YamlDocument:
    return yamlsource.parse(text, path=PATH, error=InventoryError)


def test_each_key_and_item_has_its_position() -> None:
    document = parse("a:\n  b: 1\n  c: [x,\n      y]\n")
    assert document.data == {"a": {"b": 1, "c": ["x", "y"]}}
    assert document.where(("a",)) == "f.yaml:1:1"
    assert document.where(("a", "b")) == "f.yaml:2:3"
    assert document.where(("a", "c", 1)) == "f.yaml:4:7"


def test_a_missing_key_has_the_position_of_its_parent() -> None:
    assert parse("a:\n  b: 1\n").where(("a", "b", "no", "such")) == "f.yaml:2:3"
    assert parse("").where(("a",)) == "f.yaml:1:1"


def test_the_text_of_numbers_is_kept() -> None:
    document = parse("{a: 1.10, b: 022, c: '1.10', d: yes, e: [0x10]}")
    assert document.data == {"a": 1.1, "b": 18, "c": "1.10", "d": True, "e": [16]}
    written = {("a",): "1.10", ("b",): "022", ("d",): "yes", ("e", 0): "0x10"}
    assert document.written == written


def test_merged_keys_keep_their_position_and_own_keys_win() -> None:
    document = parse(
        "base: &base {port: 1, user: a}\n"
        "more: &more {port: 2, jump: x}\n"
        "host:\n  <<: [*base, *more]\n  user: b\n"
    )
    assert document.data["host"] == {"port": 1, "jump": "x", "user": "b"}
    assert document.where(("host", "port")) == "f.yaml:1:14"
    assert document.where(("host", "user")) == "f.yaml:5:3"


def test_an_alias_is_read_wherever_it_is_used() -> None:
    document = parse("a: &x {port: 1}\nb: *x\n")
    assert document.data["b"] == {"port": 1}
    assert document.where(("b",)) == "f.yaml:2:1"


def nested_merges(depth: int) -> str:
    text = "&a0 {k: 1}"
    for level in range(1, depth):
        text = f"&a{level} {{<<: [{text}{f', *a{level - 1}' * 9}]}}"
    return f"x: {text}"


BAD = {
    "a: 1\nb: 2\na: 3": "f.yaml:3:1: duplicate key 'a' (first on line 1)",
    "a:\n\tb: 1": "f.yaml:2:1: found a tab, expected spaces; indent with spaces",
    "a: 1\n---\nb: 1": "f.yaml:2:1: a second document starts here; expected one per file",
    "a: [x": "f.yaml:2:1: is not YAML: did not find expected ',' or ']'",
    "a: 'x\n\n": "is not YAML: found unexpected end of stream while scanning a quoted scalar that",
    "a: @x": "f.yaml:1:4: is not YAML: found character that cannot start any token; put it in",
    "a: *x": "f.yaml:1:4: an alias (*) without an anchor (&) above",
    "a: &x 1\nb: &x 2": "f.yaml:2:4: duplicate anchor (&): the name is already used above",
    "a: x\0": "f.yaml:1:5: the control character U+0000 is not allowed in YAML",
    "a: 1\nb: \x1b": "f.yaml:2:4: the control character U+001B is not allowed in YAML",
    "a: 2001-13-45": "f.yaml:1:4: looks like a value of type timestamp but is not one; put it in",
    "a: "
    + "9" * 5000: "f.yaml:1:4: a value of type int with 5,000 characters, expected at most 400",
    "[a]: 1": "f.yaml:1:1: expected a plain key",
    "? {a: 1}\n: 2": "f.yaml:1:3: expected a plain key",
    "a: {<<: x}": "f.yaml:1:9: expected a mapping after '<<'",
    "a: &a {<<: *a}": "nested more than 50 levels deep",
    "a: &a [*a]": "nested more than 50 levels deep",
    "[" * 200_000: "nested more than 50 levels deep",  # in column 52, or at libyaml's own limit
    "{a: " * 51 + "}" * 51: "f.yaml:1:205: nested more than 50 levels deep",
    nested_merges(8): "more than 100,000 values (aliases and merge keys count each time)",
    "a: !!python/object/apply:os.system [id]": "the tag '!!python/object/apply:os.system' is not",
    "a: !!python/name:os.system": "is not allowed here",
    "a: !!python/tuple [x]": "f.yaml:1:4: the tag '!!python/tuple' is not allowed here",
    "a: !!set {x}": "f.yaml:1:4: the tag '!!set' is not allowed here",
    "a: !!binary aGk=": "f.yaml:1:4: the tag '!!binary' is not allowed here",
    "a: !mine x": "f.yaml:1:4: the tag '!mine' is not allowed here",
    "a: =": "f.yaml:1:4: the tag 'tag:yaml.org,2002:value' is not allowed here",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:40]))
def test_invalid_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InventoryError) as caught:
        parse(text)
    message = str(caught.value)
    assert BAD[text] in message
    assert message.startswith("f.yaml:")
    assert "\n" not in message


@given(st.text(max_size=60) | st.text(alphabet="{}[],:&*a<!|>'\"#-? \n\t", max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        document = parse(text)
    except InventoryError as problem:
        assert "\n" not in problem.message  # noqa: PT017 - most texts raise, some don't
        assert problem.message.startswith("f.yaml")  # noqa: PT017
    else:
        assert document.where().startswith("f.yaml:")


@pytest.mark.parametrize("depth", [52, SHALLOW_CHARS // 2, SHALLOW_CHARS, 100_000])
@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
def test_nesting_is_bounded_with_both_of_pyyamls_parsers(
    depth: int, loader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamlsource, "_Loader", loader)
    with pytest.raises(InventoryError, match="nested more than 50 levels deep"):
        parse("[" * depth + "]" * depth)
    assert parse("[" * 51 + "]" * 51).position((0,) * 50).column == 51


def test_a_missing_file_and_a_directory_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CubeError, match=r"no\.yaml: no such file$"):
        yamlsource.load(tmp_path / "no.yaml", error=CubeError)
    with pytest.raises(CubeError, match="cannot be read: Is a directory"):
        yamlsource.load(tmp_path, error=CubeError)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(CubeError, match="/dev/zero: expected a file of at most 4 MiB"):
        yamlsource.load(Path("/dev/zero"), error=CubeError)


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(CubeError, match=r"f\.yaml:2: expected UTF-8 text"):
        yamlsource.load(tmp_path / "f.yaml", error=CubeError)
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yamlsource.load(tmp_path / "f.yaml", error=CubeError).data == {"a": 1}


def test_paths_in_the_working_directory_are_shown_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert yamlsource.shown_path(tmp_path / "cwd" / "x.yaml") == "x.yaml"
    assert yamlsource.shown_path(Path("sub", os.pardir, "x.yaml")) == "x.yaml"
    assert yamlsource.shown_path(tmp_path / "x.yaml") == str(tmp_path / "x.yaml")
