# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# What a Slurm cluster offers to this user. Called by facts/ for "hosts check".

# mlcr_report_slurm: report the version of sbatch, the partitions as "NAME STATE TIMELIMIT NODES GRES"
# and the user's default account, if there is an accounting; or what Slurm says instead. Status 127:
# a program of Slurm does not exist.
mlcr_report_slurm() {
    for mlcr_program in sbatch squeue scancel sinfo; do
        command -v "$mlcr_program" >/dev/null 2>&1 || {
            mlcr_print_record missing "$mlcr_program"
            return 127
        }
    done
    mlcr_print_record version "$(mlcr_run_limited 10 sbatch --version 2>&1)"
    mlcr_answer=$(mlcr_run_limited 30 sinfo -h -o '%P %a %l %D %G' 2>&1) || {
        mlcr_print_record problem "${mlcr_answer:-sinfo gives no answer}"
        return 0
    }
    mlcr_print_record partitions "$mlcr_answer"
    command -v sacctmgr >/dev/null 2>&1 || return 0
    mlcr_read_user
    mlcr_answer=$(mlcr_run_limited 30 sacctmgr -n -P show user "$mlcr_user" format=DefaultAccount \
        2>/dev/null) || return 0
    mlcr_print_record account "${mlcr_answer%%|*}"
}
