# SPDX-License-Identifier: Apache-2.0
"""Which images can travel from one host to another, and the job that prepares such an image."""

from __future__ import annotations

import attrs

from mlcube_remote.errors import PlanError
from mlcube_remote.inventory.model import Host
from mlcube_remote.plan.assignment import make_job
from mlcube_remote.plan.job import JobSpec
from mlcube_remote.plan.job_plan import JobPlan, plan_placed
from mlcube_remote.plan.placed_job import place_job
from mlcube_remote.platforms import CONTAINER_ENGINES


def receives_image(spec: JobSpec) -> bool:
    """Return whether the image of a job comes from another host."""
    source = spec.image_source
    return source is not None and source.name != spec.host.name


def source_job(spec: JobSpec, source: Host) -> JobSpec:
    """Return the job that only prepares the image, on the host that others get it from.

    Args:
        spec: A job that needs the image.
        source: The host.

    Raises:
        PlanError: The cube has no section for the platform of the host.
    """
    # The inventory says which engine a source has; the command line says what all hosts use.
    platform = source.platform or spec.request.platform
    request = attrs.evolve(
        spec.request, configure_only=True, platform=platform, trials=(), again=None
    )
    return make_job(request, source)


def check_shipping(plan: JobPlan) -> None:
    """Reject an image that cannot travel to the host of a job.

    Raises:
        PlanError: The two hosts use different images, or the engine cannot read the other's.
    """
    source = plan.spec.image_source
    if source is None:
        return
    host, image = plan.spec.host.name, plan.image
    theirs = plan_placed(place_job(source_job(plan.spec, source)), None).image
    is_engine = theirs.platform in CONTAINER_ENGINES
    if is_engine and "@" in theirs.image:
        raise PlanError(
            f"image {theirs.image} is named by its digest, which a sent image cannot have",
            hint="omit --ship-image and image_source: each host pulls exactly this image",
        )
    if not receives_image(plan.spec):
        return
    if image.platform in CONTAINER_ENGINES:
        if not is_engine:
            raise PlanError(
                f"{host}: {image.platform} cannot use the image of {source.name}, which is built "
                f"by {theirs.platform}",
                hint="name a host with Docker or Podman as the source",
            )
        mine, other = image.image, theirs.image
    else:
        mine = image.source
        other = f"docker://{theirs.image}" if is_engine else theirs.source
    if mine != other:
        raise PlanError(
            f"{host}: its image is {mine or image.image}, and that of {source.name} is "
            f"{other or theirs.image}",
            hint=f"let {host} get its own: set image_source in the inventory for the other hosts, "
            "instead of --ship-image",
        )
