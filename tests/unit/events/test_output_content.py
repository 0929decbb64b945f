# SPDX-License-Identifier: Apache-2.0
"""What outputs hold: digests that anybody can check, and the numbers in their files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcube_remote.events import output_content as module
from mlcube_remote.events.output_content import describe_output, read_metrics
from mlcube_remote.runs.digests import MIN_CACHED_BYTES, Digests

AS_DOCUMENTED = str(module.__doc__).split("::")[1].strip()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_its_own_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    found = describe_output(tmp_path / "a", Digests())
    assert found is not None
    assert (found.files, found.size, found.sha256) == (1, 5, sha256(b"hello"))


@pytest.mark.parametrize(
    "names", [(), ("a",), ("b/a", "a", "b.txt", "B", "b/c/d"), (" ", "-n", "a\nb", "\\x", "ä")]
)
def test_the_digest_of_a_directory_is_what_the_documented_command_prints(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "link").symlink_to("a")
    printed = subprocess.run(
        ["sh", "-c", AS_DOCUMENTED], cwd=folder, capture_output=True, text=True, check=True
    )
    found = describe_output(folder, Digests())
    assert found is not None
    assert f"{found.sha256}  -\n" == printed.stdout
    assert found.files == len(names)
    assert found.size == sum(len(name.encode()) for name in names)


def test_names_that_are_no_text_count_too(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff")).write_bytes(b"x")
    found = describe_output(tmp_path, Digests())
    assert found is not None
    assert found.sha256 == sha256(sha256(b"x").encode() + b"  \xff\0")


def test_what_cannot_be_read_has_no_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert describe_output(tmp_path / "pipe", Digests()) is None
    assert describe_output(tmp_path / "absent", Digests()) is None


def test_a_large_file_is_not_read_twice_not_even_by_the_next_command(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * MIN_CACHED_BYTES)
    first = Digests()
    digest = first.of(file)
    first.save()
    about = file.stat()
    file.write_bytes(b"y" * MIN_CACHED_BYTES)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    os.link(file, tmp_path / "second name")
    assert Digests().of(tmp_path / "second name") == digest, "it was looked up"
    assert Digests().read(file) == sha256(b"y" * MIN_CACHED_BYTES), "it was read"
    os.utime(file)
    assert Digests().of(file) == sha256(b"y" * MIN_CACHED_BYTES), "its time changed"


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 1}', "{"])
def test_a_damaged_store_of_digests_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * MIN_CACHED_BYTES)
    kept = tmp_path / "digests.json"
    kept.write_text(damage)
    digests = Digests(kept)
    assert digests.of(file) == sha256(b"x" * MIN_CACHED_BYTES)
    digests.save()
    assert list(json.loads(kept.read_text()).values()) == [sha256(b"x" * MIN_CACHED_BYTES)]


def test_nothing_is_kept_of_small_files(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("x")
    digests = Digests(tmp_path / "digests.json")
    digests.of(tmp_path / "small")
    digests.save()
    assert not (tmp_path / "digests.json").exists()


METRICS = {
    "accuracy": 0.97,
    "epochs": 3,
    "test": {"loss": 1e-3, "by class": {"7": 1}},
    "done": True,
    "name": "mnist",
    "history": [1, 2, 3],
    "none": None,
}
NUMBERS = {"accuracy": 0.97, "epochs": 3, "test.loss": 1e-3, "test.by class.7": 1}


def test_numbers_of_json_have_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(METRICS))
    assert read_metrics(tmp_path / "m.json") == NUMBERS


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_numbers_of_yaml_have_dotted_keys(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"m{suffix}"
    file.write_text("accuracy: 0.97\ntest: {loss: 0.5, 3: 4}\nname: x\nflag: yes\n")
    assert read_metrics(file) == {"accuracy": 0.97, "test.loss": 0.5, "test.3": 4}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", "{"),
        ("m.json", "[" * 100_000),
        ("m.json", '{"a":' * 100_000),
        ("m.json", '{"a": NaN, "b": Infinity, "c": 1e999, "d": 1' + "0" * 400 + "}"),
        ("m.json", '{"' + "a" * 1000 + '": 1}'),
        ("m.json", "3.5"),
        ("m.json", '{"a": 1}' + " " * module.MAX_METRICS_FILE),
        ("m.json", "\x80"),
        ("m.yaml", "a: [1"),
        ("m.yaml", "a: &a [*a]"),
        ("m.yaml", "!!python/object/apply:os.system [id]"),
        ("m.yaml", "a: .nan"),
        ("m.txt", '{"a": 1}'),
        ("m", '{"a": 1}'),
    ],
)
def test_what_is_damaged_or_no_number_is_no_metric(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    assert read_metrics(tmp_path / name) == {}


def test_a_host_cannot_make_columns_without_end(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({f"k{n}": n for n in range(10_000)}))
    assert len(read_metrics(tmp_path / "m.json")) == module.MAX_METRICS


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_whatever_a_task_writes_its_numbers_can_be_kept(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    file = tmp_path_factory.mktemp("m") / "m.json"
    file.write_text(json.dumps(value))
    found = read_metrics(file)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
