# SPDX-License-Identifier: Apache-2.0
"""A cube whose image the shell library builds with a fake Singularity."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tests.support.shell_library import Call, Completed

ENGINE = r"""#!/bin/sh
# A fake Singularity: "build OPTIONS IMAGE SOURCE" writes the image in two halves.
echo "$*" >>"$ENGINE_LOG"
while [ $# -gt 2 ]; do shift; done
printf 'first half of %s, ' "$2" >"$1"
while [ -e "$ENGINE_LOG.hold" ]; do sleep 0.05; done
[ ! -e "$ENGINE_LOG.fail" ] || { echo 'FATAL: no good' >&2; exit 255; }
echo 'second half' >>"$1"
"""


DEFINITION = """Bootstrap: localimage
From: base.sif

%files
    project/*.py /opt
    . /everything
%files from build
    project/other.txt /opt
%post
    project/other.txt
"""


@attrs.frozen
class Cube:
    """A cube with a definition file, on a host whose engine is a script."""

    call: Call
    root: Path
    source: str = "cube.def"
    arguments: tuple[str, ...] = ("--fakeroot",)
    log: Path = attrs.field(init=False)
    image: Path = attrs.field(init=False)

    @log.default
    def _log(self) -> Path:
        return self.root.parent / "engine.log"

    @image.default
    def _image(self) -> Path:
        return self.root / "workspace/.image/it's $(an image).sif"

    def words(self) -> tuple[str, ...]:
        engine = str(self.root.parent / "engine")
        places = (str(self.root), str(self.root / "workspace"), str(self.image))
        return (*places, self.source, "2", engine, "build", *self.arguments)

    def state(self) -> str:
        done = self.call("mlcr_check_sif", *self.words())
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().split()[0]

    def build(self) -> Completed:
        root = str(self.root.parent / "root")
        return self.call("mlcr_build_sif", root, *self.words(), ENGINE_LOG=str(self.log))

    def build_checked(self, digest: str = "", copied: str = "") -> Completed:
        root = str(self.root.parent / "root")
        return self.call(
            "mlcr_build_checked_sif", digest, copied, root, *self.words(), ENGINE_LOG=str(self.log)
        )

    def builds(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def left(self) -> set[str]:
        return {path.name for path in self.image.parent.iterdir()}


@pytest.fixture
def cube(call: Call, tmp_path: Path) -> Cube:
    root = tmp_path / "cube"
    (root / "project").mkdir(parents=True)
    (root / "workspace").mkdir()
    (root / "cube.def").write_text(DEFINITION)
    (root / "base.sif").write_text("base")
    (root / "project/main.py").write_text("one")
    (root / "project/other.txt").write_text("other")
    (tmp_path / "root/locks").mkdir(parents=True)
    engine = tmp_path / "engine"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    return Cube(call, root)
