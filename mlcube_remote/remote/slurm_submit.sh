# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Submit the batch job of a job to Slurm, exactly once. Part of the program slurm.sh, which lists the
# files.

# print_shell_text NAME VALUE: print shell text that exports a variable.
print_shell_text() {
    printf 'export %s=' "$1"
    printf '%s\n' "$2" | sed -e "s/'/'\\\\''/g" -e "1s/^/'/" -e "\$s/\$/'/"
}

# save_environment JOB: save the values of the tasks' variables for the compute node. Slurm would
# spool them if it passed them on.
save_environment() {
    [ -s "$1/slurm/variables" ] || return 0
    read -r names <"$1/slurm/variables"
    for name in $names; do
        eval "value=\${$name-}"
        print_shell_text "$name" "$value"
    done >"$1/slurm/environment"
}

# write_batch_script JOB: write the script that Slurm runs.
write_batch_script() {
    {
        # Sites define the command "module" in the profiles of login shells.
        if [ -s "$1/slurm/setup" ]; then echo '#!/bin/bash -l'; else echo '#!/bin/sh'; fi
        # shellcheck disable=SC2016 # expanded by the script
        printf '%s\n' 'mlcr_job=$1' '. "$mlcr_job/slurm/setup"' \
            'exec /bin/sh "$mlcr_job/scheduler" run "$mlcr_job"'
    } >"$1/slurm/batch"
}

# run_sbatch JOB: submit the batch job, with the user's environment and without the secrets in it.
run_sbatch() (
    submitted_job=$1
    if [ -s "$1/slurm/variables" ]; then
        read -r names <"$1/slurm/variables"
        for name in $names; do unset "$name"; done
    fi
    # shellcheck disable=SC1091 # made by mlcr_schedule_job
    . "$submitted_job/slurm/options"
    mlcr_run_limited 60 sbatch "$@" "$submitted_job/slurm/batch" "$submitted_job"
)

# save_answer JOB: save the id that sbatch printed as "ID" or "ID;CLUSTER"; fail if there is none.
save_answer() {
    [ -s "$1/slurm/answer" ] || return 1
    while IFS=';' read -r answered _; do
        case $answered in
        '' | *[!0-9]*) ;;
        *)
            date +%s >"$1/slurm/submitted"
            mlcr_write_atomically "$1/slurm/id" "$answered"
            return
            ;;
        esac
    done <"$1/slurm/answer"
    return 1
}

# find_by_name JOB: save the id of a batch job with the job's name that waits or runs. Status 1:
# there is none; 2: Slurm does not answer, or the id cannot be written.
find_by_name() {
    found=$(mlcr_run_limited 30 squeue -h --name="mlcr-${1##*/}" -o %i 2>/dev/null) || return 2
    # If there are several, all but one exit at once: see run.
    found=${found%%[!0-9]*}
    [ -n "$found" ] || return 1
    mlcr_write_atomically "$1/slurm/id" "$found" || return 2
}

# submit JOB: submit the batch job, unless Slurm has it. An error of sbatch does not say that: it may
# have lost the answer. A job without options waits until it is submitted together with others.
submit() {
    if [ ! -s "$1/slurm/options" ]; then
        [ -s "$1/slurm/environment" ] || save_environment "$1"
        return
    fi
    submit_once "$1" || return
    [ -s "$1/slurm/members" ] || return 0
    # The directory of the leader may be removed before its members end.
    read_id "$1"
    while read -r member; do
        [ "$member" = "${1##*/}" ] || mlcr_write_atomically "${1%/*}/$member/slurm/id" "$id"
    done <"$1/slurm/members"
}

# submit_once JOB: see submit.
submit_once() {
    [ ! -s "$1/slurm/id" ] || return 0
    ! save_answer "$1" || return 0
    if [ -e "$1/slurm/submitting" ]; then
        find_by_name "$1"
        case $? in
        0) return 0 ;;
        2) return 22 ;;
        esac
    fi
    true >"$1/slurm/submitting" && write_batch_script "$1" || return 1
    [ -s "$1/slurm/members" ] || save_environment "$1" || return 1
    tries=0
    while :; do
        error=$(run_sbatch "$1" 2>&1 >"$1/slurm/answer")
        code=$?
        [ $code -ne 0 ] || ! save_answer "$1" || return 0
        find_by_name "$1"
        case $? in
        0) return 0 ;;
        2)
            printf '%s\n' "$error" >&2
            return 22
            ;;
        esac
        tries=$((tries + 1))
        case $code-$error in
        124-* | *[Tt]imed\ out* | *'Unable to contact'* | *'temporarily'*) [ $tries -lt 3 ] || break ;;
        *) break ;;
        esac
        sleep "$tries"
    done
    rm -f -- "$1/slurm/environment"
    printf '%s\n' "${error:-sbatch printed no id}" >&2
    return 21
}
