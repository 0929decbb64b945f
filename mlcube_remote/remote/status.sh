# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The exit statuses of the library's functions. Python has the same names in status.py, and
# tests/unit/remote/test_statuses.py compares both with the functions. The numbers are fixed: a
# client may call functions that an older client left in a job's directory.
#
# 0 means success, 1 a failure whose reason is on stderr. The others, with their functions:
#
#   ROOT_UNUSABLE      3   mlcr_probe_host
#   LACKS_PROGRAMS     4   mlcr_probe_host
#   LOCK_HELD         16   mlcr_acquire_lock mlcr_claim_job
#   TOO_FEW_GPUS      16   mlcr_lease_exclusively mlcr_lease_gpus
#   ALREADY_CLAIMED   17   mlcr_claim_job
#   ALREADY_LAUNCHED  17   mlcr_launch_job mlcr_release_job
#   NOT_PREPARED      18   mlcr_launch_job
#   STILL_LIVE        18   mlcr_remove_job
#   GPUS_CONTENDED    18   mlcr_lease_exclusively mlcr_lease_gpus
#   CLAIM_LOST        19   mlcr_confirm_claim mlcr_launch_job
#   LEADS_OUT         20   mlcr_confine mlcr_explain_obstacle mlcr_check_inside
#                          mlcr_check_begin mlcr_check_sources
#                          mlcr_prepare_paths mlcr_write_input mlcr_launch_job
#   NOT_SUBMITTED     21   mlcr_start_supervisor mlcr_launch_job mlcr_submit_together
#   NO_SCHEDULER      22   mlcr_start_supervisor mlcr_launch_job mlcr_submit_together
#   CHANGED           23   mlcr_start_unchanged
#   NO_DIRECTORY     125   mlcr_run_in mlcr_check_sif mlcr_build_sif
#   NO_CONTAINER     125   mlcr_exec_in_job mlcr_enter_job mlcr_exec_in_container
#                          mlcr_exec_in_namespace
#   NO_PROGRAM       127   mlcr_print_image_platform mlcr_print_server_version
#                          mlcr_print_client_version mlcr_check_sif mlcr_list_gpus
#                          mlcr_lease_exclusively mlcr_lease_gpus mlcr_print_checksums
#                          mlcr_report_slurm
#
# timeout(1) adds one to every function that runs a command with mlcr_run_limited:
#
#   TIMED_OUT        124   mlcr_run_limited
