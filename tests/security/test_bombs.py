# SPDX-License-Identifier: Apache-2.0
"""A small file of a cube or a host cannot take much time or memory: it is refused by name.

Each file is read in a process of its own with a limit of memory and of processor time, which the
kernel enforces.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcube_remote.errors import CubeError
from mlcube_remote.files.filters import read_patterns

MEMORY = 512 * 2**20
CPU_S = 8
"""Each file takes less than 2 s on an idle machine; a busy one takes a multiple."""

READ = f"""
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_S}, {CPU_S}))
from mlcube_remote.errors import UsageError
file = Path(sys.argv[1])
try:
    if file.name == "mlcube.yaml":
        from mlcube_remote.cube.load import load
        load(file)
    elif file.name == ".mlcubeignore":
        from mlcube_remote.files.filters import filter_rules, read_patterns
        filter_rules(read_patterns(file.parent))
    elif file.name == "hosts.yaml":
        from mlcube_remote.inventory.load import load
        load(file)
    else:
        from mlcube_remote.events.output_content import read_metrics
        print(read_metrics(file))
except UsageError as problem:
    print(problem)
"""

TASK = "tasks: {t: {entrypoint: x}}\n"
WIDE = "{" + ",".join(f"k{number}: 1" for number in range(20_000)) + "}"
MERGES = f"a: &a {WIDE}\n" + "".join(f"b{number}: {{<<: *a}}\n" for number in range(20_000))
MERGE_LIST = f"a: &a {WIDE}\nb: {{<<: [{','.join(['*a'] * 100_000)}]}}\n"
LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 45))
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 45)
)
SAME_HASHES = "{" + ",".join(f"{number * (2**61 - 1)}: 1" for number in range(1, 30_000)) + "}\n"
VALUES = "more than 100,000 values (aliases and merge keys count each time)"
NODES = "more than 250,000 keys and values"


def chain(value: str) -> str:
    """Return 26 values that each use the next one twice; ``value`` has a number and its next."""
    return TASK + "".join(value.format(n=n, next=n + 1) for n in range(26)) + "v26: xxxxxxxxxx\n"


YAML = {
    "merge keys": (MERGES, VALUES),
    "a list of merge keys": (MERGE_LIST, VALUES),
    "merge keys in merge keys": (MERGED_LAUGHS, VALUES),
    "aliases in aliases": (LAUGHS, VALUES),
    "an alias for a long text": (f"a: &a {'x' * 300_000}\nb: [{','.join(['*a'] * 90)}]", "charact"),
    "many values": ("a: [" + "a," * 400_000 + "]", NODES),
    "many mappings": ("a: [" + "{}," * 300_000 + "]", NODES),
    "deep lists": ("a: " + "[" * 400_000, "nested more than 50 levels deep"),
    "deep mappings": ("{a: " * 200_000, "nested more than 50 levels deep"),
    "deep block lists": ("- " * 400_000, "nested more than 50 levels deep"),
    "a number to the base of 60": ("a: 1" + ":1" * 400_000, "type int with 800,001 characters"),
    "a hexadecimal number": ("a: 0x" + "f" * 900_000, "type int with 900,002 characters"),
    "a decimal number": ("a: " + "9" * 900_000, "type int with 900,000 characters"),
    "a number with a fraction": ("a: " + "9" * 900_000 + ".0", "type float with 900,002 char"),
    "keys with the same hash": (SAME_HASHES, "a key above 2^63; put it in quotes"),
    "a long key": (f"? {'k' * 900_000}\n: 1\n", "a key of 900,000 characters, expected at most"),
    "many %TAG lines": ("".join(f"%TAG !{n}! a\n" for n in range(60_000)) + "--- a", "10 %TAG"),
}
CUBES = {
    "values that use others twice": (
        chain("v{n}: ${{v{next}}}${{v{next}}}\n"),
        "mlcube.yaml:2:1: v0: the interpolations of this file need a text of more than 131,072",
    ),
    "mappings that use others twice": (
        chain("v{n}: {{a: '${{v{next}}}', b: '${{v{next}}}'}}\n"),
        "mlcube.yaml:2:6: v0.a: the interpolations of this file need more than 500,000 steps",
    ),
    "nested names of values": (
        TASK
        + "n: {"
        + "".join(f"k{n}: k{n + 1}, " for n in range(26))
        + "}\nv: {"
        + "".join(f"k{n}: '${{v.${{n.k{n}}}}}${{v.${{n.k{n}}}}}', " for n in range(26))
        + "k26: xxxxxxxxxx}\n",
        "the interpolations of this file need",
    ),
    "resolvers": (
        chain("v{n}: ${{oc.select:v{next}}}${{oc.select:v{next}}}\n"),
        "the interpolations of this file need",
    ),
    "many uses of a long value": (
        f"{TASK}a: {'x' * 100_000}\nb: {'${a}' * 100_000}\n",
        "mlcube.yaml:3:1: b: expected a text of at most 131,072 characters with at most 500",
    ),
    "500 uses of a long value": (
        f"{TASK}a: {'x' * 100_000}\nb: {'${a}' * 500}\nc: {'${b}' * 500}\n",
        "the interpolations of this file need a text of more than 131,072 characters",
    ),
    "many values beside an interpolation": (
        f"{TASK}a: ${{name}}\nname: x\nb: [{'a,' * 90_000}]\n",
        "the interpolations of this file need more than 500,000 steps of work",
    ),
    "a long entrypoint": (
        f"tasks: {{t: {{entrypoint: {'x' * 900_000}}}}}",
        "tasks.t.entrypoint: a text of 900,000 characters, expected at most 131,072",
    ),
    "long entrypoints": (
        "e: &e "
        + "x " * 60_000
        + "\ntasks: {"
        + "".join(f"t{n}: {{entrypoint: *e}}," for n in range(20_000))
        + "}",
        "more than 2,097,152 characters",
    ),
    "many GPUs": (
        f"{TASK}platform: {{accelerator_count: 99999999999}}\n",
        "platform.accelerator_count: expected at most 1024, got more",
    ),
    "many GPUs of a platform": (
        f"{TASK}podman: {{image: x, --gpus: ' 0{'9' * 5000}'}}\n",
        "podman.--gpus: expected at most 1024 GPUs, got more",
    ),
    "many unknown keys": (
        TASK + "".join(f"plat{number}: 1\n" for number in range(40_000)),
        "more than 1,000 unknown keys",
    ),
}
HOSTS = "hosts: {'a[1-4096]': {}}\n"
INVENTORIES = {
    "commas": (
        f"{HOSTS}groups: {{g: 'a1{',' * 900_000}[2'}}",
        "hosts.yaml:2:10: g: '[2': brackets",
    ),
    "a long address in a range": (
        f"hosts: {{'a[1-4096]': {{address: '{'x' * 900_000}[1-4096]'}}}}",
        "a name of more than 1024 characters",
    ),
    "many brackets": (
        f"hosts: {{'a[1-4096]': {{address: '{'[1]' * 300_000}[1-4096]'}}}}",
        "a name of more than 1024 characters",
    ),
    "a range of ranges": (
        f"hosts: {{'a[1-9]': {{address: 'x[{','.join(['1-4096'] * 90_000)}]'}}}}",
        "means more than 4096 names",
    ),
    "labels of a range of hosts": (
        f"hosts: {{'a[1-4096]': {{labels: {WIDE}}}}}",
        "more than 500,000 values of hosts",
    ),
    "a group of many ranges": (
        f"{HOSTS}groups: {{g: '{','.join(['a[1-4096]'] * 40_000)}'}}",
        "more than 1,000,000 members of groups",
    ),
    "groups of groups": (
        f"{HOSTS}groups:\n"
        + "".join(f"  g{number}: 'a[1-4096]'\n" for number in range(2000))
        + "".join(f"  h{number}: 'g[0-1999]'\n" for number in range(2000)),
        "more than 1,000,000 members of groups",
    ),
    "names that almost match": (
        "hosts: {a: {}}\ngroups:\n"
        + "".join(f"  x{'ab' * 400}{number}: a\n" for number in range(1000))
        + f"  z: x{'ba' * 400}0\n",
        "z: unknown host or group",
    ),
}
METRICS = {
    "long keys in a long key": ('{"' + "k" * 500_000 + '":{' + '"a":1,' * 70_000 + '"b":1}}', "{}"),
    "deep lists": ("[" * 900_000, "{}"),
    "deep mappings": ('{"a":' * 170_000, "{}"),
    "a long number": ('{"a":' + "9" * 900_000 + "}", "{}"),
    "many mappings": ("[" + "{}," * 300_000 + "{}]", "{}"),
    "a large file": ('{"a": 1}' + " " * 2**20, "{}"),
}
IGNORED = {
    "double stars": (
        "\n" + "a/**/" * 40 + "b\n",
        ".mlcubeignore:2: more than 524,288 char",
    ),
    "many double stars": (("a/**/" * 6 + "b\n") * 2000, "more than 524,288 characters of rules"),
    "one long line": (" " * 60_000 + "x", ""),
    "a large file": ("a\n" * 40_000, ".mlcubeignore: expected a file of at most 64 KiB"),
}
CASES = {
    **{("mlcube.yaml", name): case for name, case in {**YAML, **CUBES}.items()},
    **{("hosts.yaml", name): case for name, case in {**YAML, **INVENTORIES}.items()},
    **{("metrics.yaml", name): (text, "{}") for name, (text, _) in YAML.items()},
    **{(".mlcubeignore", name): case for name, case in IGNORED.items()},
    **{("metrics.json", name): case for name, case in METRICS.items()},
}


@pytest.mark.parametrize(("name", "which"), CASES, ids=lambda part: part.replace(" ", "_"))
def test_a_bomb_is_refused_in_little_time_and_memory(name: str, which: str, tmp_path: Path) -> None:
    text, message = CASES[name, which]
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", READ, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert message in done.stdout
    assert len(done.stdout) < 2000


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_list_of_patterns_that_never_ends(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / ".mlcubeignore")
    with pytest.raises(CubeError, match="expected a file"):
        read_patterns(tmp_path)


def test_a_long_file_is_read_as_before(tmp_path: Path) -> None:
    """The limits are far above what honest files need."""
    hosts = "".join(f"  h{n}: {{address: 10.0.0.1, port: 22}}\n" for n in range(15_000))
    (tmp_path / "hosts.yaml").write_text(f"hosts:\n{hosts}groups: {{g: '{'h1,' * 50_000}h2'}}\n")
    cube = "".join(f"v{n}: x ${{name}}/${{workspace}} y\n" for n in range(200))
    (tmp_path / "mlcube.yaml").write_text(f"name: n\n{TASK}{cube}")
    program = (
        "from mlcube_remote.cube.load import load\n"
        "from mlcube_remote.inventory import load as inventory\n"
        "from pathlib import Path\n"
        "load('mlcube.yaml'); print(len(inventory.load(Path('hosts.yaml')).hosts))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={"PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout == "15001\n"


@pytest.mark.parametrize("after_s", [0.4, 0.8, 1.6])
def test_sigterm_ends_a_command_that_reads_a_bomb(after_s: float, tmp_path: Path) -> None:
    text, _ = CUBES["mappings that use others twice"]
    (tmp_path / "mlcube.yaml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlcube_remote", "describe", f"--mlcube={tmp_path}"],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after_s)
    process.terminate()
    begin = time.monotonic()
    code = process.wait(timeout=20)
    assert code in {-signal.SIGTERM, 143, 2}
    assert code == 2 or time.monotonic() - begin < 8
