# SPDX-License-Identifier: Apache-2.0
"""Exit statuses of the shell library's functions, as ``status.sh`` lists them.

0 means success, and 1 a failure whose reason is on standard error. A number may have several
meanings: each function returns only the statuses that name it.
"""

from __future__ import annotations

from typing import Final

ROOT_UNUSABLE: Final = 3
"""``mlcr_probe_host``: ``remote_root`` cannot be used safely; the reason is on standard error."""

LACKS_PROGRAMS: Final = 4
"""``mlcr_probe_host``: the host lacks programs of the library; standard error names them."""

LOCK_HELD: Final = 16
"""``mlcr_claim_job``: another live job holds the workspace's lock; its records describe it."""

TOO_FEW_GPUS: Final = 16
"""``mlcr_lease_gpus``: too few GPUs are free; the records ``free`` and ``total`` say how many."""

ALREADY_CLAIMED: Final = 17
"""``mlcr_claim_job``: a client with the same run id has claimed the job."""

ALREADY_LAUNCHED: Final = 17
"""``mlcr_launch_job``, ``mlcr_release_job``: the job is launched; nothing was changed."""

NOT_PREPARED: Final = 18
"""``mlcr_launch_job``: directories or copies that the tasks expect could not be made."""

STILL_LIVE: Final = 18
"""``mlcr_remove_job``: the job may still run; nothing was deleted."""

GPUS_CONTENDED: Final = 18
"""``mlcr_lease_gpus``: another client is leasing GPUs at this moment; retry after a while."""

CLAIM_LOST: Final = 19
"""``mlcr_launch_job``: another job has had the workspace or a GPU since the claim; nothing was
started, and what was prepared may have changed."""

LEADS_OUT: Final = 20
"""``mlcr_launch_job``, ``mlcr_prepare_paths``, ``mlcr_write_input``, ``mlcr_check_sources``: a link
leads from a path to a place outside the area of the path; nothing was changed there."""

NOT_SUBMITTED: Final = 21
"""``mlcr_launch_job``, ``mlcr_submit_together``: the scheduler refuses the job; the reason is on
standard error. The job is not launched."""

NO_SCHEDULER: Final = 22
"""``mlcr_launch_job``, ``mlcr_submit_together``: the scheduler gives no answer; it may have the
job."""

CHANGED: Final = 23
"""``mlcr_start_unchanged``: something differs from what the client knows; nothing was started."""

TIMED_OUT: Final = 124
"""Every function that asks an engine or a driver: no answer within 30 s."""

NO_DIRECTORY: Final = 125
"""``mlcr_run_in``, ``mlcr_check_sif``, ``mlcr_build_sif``: the cube's directory does not exist."""

NO_CONTAINER: Final = 125
"""``mlcr_exec_in_job``: the job has no running container that can be entered; the reason is on
standard error."""

NO_PROGRAM: Final = 127
"""The program does not exist: the engine (``mlcr_print_image_platform``,
``mlcr_print_server_version``, ``mlcr_print_client_version``, ``mlcr_check_sif``), ``nvidia-smi``
(``mlcr_list_gpus``, ``mlcr_lease_gpus``), a checksum program (``mlcr_print_checksums``), or a
program of Slurm (``mlcr_report_slurm``)."""
