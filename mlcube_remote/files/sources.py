# SPDX-License-Identifier: Apache-2.0
"""What a run is made from: digests of the cube as it is sent, and of the inputs on this machine.

They are computed once per run, in a thread, while the hosts are connected to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import attrs

from mlcube_remote.errors import MLCubeRemoteError
from mlcube_remote.events.provenance import CubeOrigin, Tree
from mlcube_remote.files.background import begin
from mlcube_remote.files.transfer import list_files
from mlcube_remote.files.trees import read_files, read_tree
from mlcube_remote.files.upload import mirror_trees, run_inputs
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.placed_job import PlacedJob, place_job
from mlcube_remote.runs.digests import Digests
from mlcube_remote.runs.git_state import read_git_state
from mlcube_remote.runs.manifests import Manifests


@attrs.frozen(kw_only=True)
class Sources:
    """What the jobs of one run are made from."""

    cube: CubeOrigin = CubeOrigin()
    inputs: Mapping[Path, Tree] = attrs.field(factory=dict)
    """Path on this machine → content, of the inputs that exist and could be read."""


def begin_reading(spec: JobSpec) -> Callable[[], Sources]:
    """Begin to read the sources of a run, and return a function that waits for them.

    Args:
        spec: A job of the run; all of its jobs have the same sources.
    """
    return begin(partial(read_sources, spec), "mlcr-sources")


def read_sources(spec: JobSpec) -> Sources:
    """Read the cube and the inputs of a run; what cannot be read is left out."""
    digests, manifests = Digests(), Manifests()
    placed = place_job(spec)
    cube = _read_cube(placed, digests, manifests)
    inputs = {}
    for path in run_inputs(placed):
        if not path.exists():
            continue
        try:
            inputs[path] = read_tree(path, digests, manifests)
        except OSError:
            continue  # the upload reports it
    digests.save()
    return Sources(cube=cube, inputs=inputs)


def _read_cube(placed: PlacedJob, digests: Digests, manifests: Manifests) -> CubeOrigin:
    cube = placed.spec.request.cube
    try:
        names = list_files(mirror_trees(placed)[0])
        tree = read_files(cube.root, names, digests, manifests)
    except (OSError, MLCubeRemoteError) as problem:
        return CubeOrigin(problem=str(problem), git=read_git_state(cube.root))
    return CubeOrigin(tree=tree, git=read_git_state(cube.root, set(names)))
