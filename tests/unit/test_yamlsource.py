# SPDX-License-Identifier: Apache-2.0
"""YAML with positions: what is read, where it stands, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote import yamlsource
from mlcube_remote.errors import CubeError, InventoryError
from mlcube_remote.yamlsource import Document, nearest

PATH = Path("f.yaml")


def parse(text: str) -> Document:
    return yamlsource.parse(text, path=PATH, error=InventoryError)


def test_every_key_and_item_knows_its_place() -> None:
    document = parse("a:\n  b: 1\n  c: [x,\n      y]\n")
    assert document.data == {"a": {"b": 1, "c": ["x", "y"]}}
    assert document.where(("a",)) == "f.yaml:1:1"
    assert document.where(("a", "b")) == "f.yaml:2:3"
    assert document.where(("a", "c", 1)) == "f.yaml:4:7"


def test_what_is_not_there_stands_where_its_parent_does() -> None:
    assert parse("a:\n  b: 1\n").where(("a", "b", "no", "such")) == "f.yaml:2:3"
    assert parse("").where(("a",)) == "f.yaml:1:1"


def test_numbers_are_also_kept_as_they_were_written() -> None:
    document = parse("{a: 1.10, b: 022, c: '1.10', d: yes, e: [0x10]}")
    assert document.data == {"a": 1.1, "b": 18, "c": "1.10", "d": True, "e": [16]}
    written = {("a",): "1.10", ("b",): "022", ("d",): "yes", ("e", 0): "0x10"}
    assert document.written == written


def test_merged_keys_stand_where_they_were_written_and_the_own_ones_win() -> None:
    document = parse(
        "base: &base {port: 1, user: a}\n"
        "more: &more {port: 2, jump: x}\n"
        "host:\n  <<: [*base, *more]\n  user: b\n"
    )
    assert document.data["host"] == {"port": 1, "jump": "x", "user": "b"}
    assert document.where(("host", "port")) == "f.yaml:1:14"
    assert document.where(("host", "user")) == "f.yaml:5:3"


def test_aliases_are_read_at_each_of_their_places() -> None:
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
    "a:\n\tb: 1": "f.yaml:2:1: a tab where YAML wants spaces; indent with spaces",
    "a: 1\n---\nb: 1": "f.yaml:2:1: a second document begins here; expected one per file",
    "a: [x": "f.yaml:2:1: is not YAML: did not find expected ',' or ']'",
    "a: 'x\n\n": "is not YAML: found unexpected end of stream while scanning a quoted scalar that",
    "a: @x": "f.yaml:1:4: is not YAML: found character that cannot start any token; put it into",
    "a: *x": "f.yaml:1:4: an alias (*) whose anchor (&) does not stand above",
    "a: &x 1\nb: &x 2": "f.yaml:2:4: an anchor (&) of this name stands above already",
    "a: x\0": "f.yaml:1:5: the control character U+0000 is not allowed in YAML",
    "a: 1\nb: \x1b": "f.yaml:2:4: the control character U+001B is not allowed in YAML",
    "a: 2001-13-45": "f.yaml:1:4: looks like a value of type timestamp but is none; put it in",
    "a: " + "9" * 5000: "f.yaml:1:4: looks like a value of type int but is none",
    "[a]: 1": "f.yaml:1:1: expected a plain key",
    "? {a: 1}\n: 2": "f.yaml:1:3: expected a plain key",
    "a: {<<: x}": "f.yaml:1:9: expected a mapping after '<<'",
    "a: &a {<<: *a}": "nested more than 50 deep",
    "a: &a [*a]": "nested more than 50 deep",
    "[" * 200_000: "nested more than 50 deep",  # in column 52, or where libyaml gives up
    "{a: " * 51 + "}" * 51: "f.yaml:1:205: nested more than 50 deep",
    nested_merges(8): "more than 100,000 values (aliases?)",
    "a: !!python/object/apply:os.system [id]": "the tag '!!python/object/apply:os.system' is not",
    "a: !!python/name:os.system": "is not allowed here",
    "a: !!python/tuple [x]": "f.yaml:1:4: the tag '!!python/tuple' is not allowed here",
    "a: !!set {x}": "f.yaml:1:4: the tag '!!set' is not allowed here",
    "a: !!binary aGk=": "f.yaml:1:4: the tag '!!binary' is not allowed here",
    "a: !mine x": "f.yaml:1:4: the tag '!mine' is not allowed here",
    "a: =": "f.yaml:1:4: the tag 'tag:yaml.org,2002:value' is not allowed here",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:40]))
def test_what_is_not_good_yaml_is_told_in_one_line(text: str) -> None:
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


@pytest.mark.parametrize("depth", [52, yamlsource.SHORT // 2, yamlsource.SHORT, 100_000])
@pytest.mark.parametrize("loader", [yaml.CSafeLoader, yaml.SafeLoader])
def test_nesting_is_bounded_with_both_of_pyyamls_parsers(
    depth: int, loader: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yamlsource, "_Loader", loader)
    with pytest.raises(InventoryError, match="nested more than 50 deep"):
        parse("[" * depth + "]" * depth)
    assert parse("[" * 51 + "]" * 51).position((0,) * 50).column == 51


def test_a_missing_file_and_a_directory_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(CubeError, match=r"no\.yaml: no such file$"):
        yamlsource.load(tmp_path / "no.yaml", error=CubeError)
    with pytest.raises(CubeError, match="cannot be read: Is a directory"):
        yamlsource.load(tmp_path, error=CubeError)


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(CubeError, match="/dev/zero: expected a file of at most 4 MiB"):
        yamlsource.load(Path("/dev/zero"), error=CubeError)


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(CubeError, match=r"f\.yaml:2: expected UTF-8 text"):
        yamlsource.load(tmp_path / "f.yaml", error=CubeError)
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yamlsource.load(tmp_path / "f.yaml", error=CubeError).data == {"a": 1}


def test_paths_are_shown_from_here_when_they_are_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert yamlsource.shown_path(tmp_path / "here" / "x.yaml") == "x.yaml"
    assert yamlsource.shown_path(Path("sub", os.pardir, "x.yaml")) == "x.yaml"
    assert yamlsource.shown_path(tmp_path / "x.yaml") == str(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("word", "meant"), [("prot", "port"), ("usr", "user"), ("zzz", None), ("", None)]
)
def test_the_nearest_word_is_found(word: str, meant: str | None) -> None:
    assert nearest(word, ["port", "user", "jump"]) == meant
