# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Slurm may start a batch job again: after it gave its node to another job, or after the node failed.
# This is on only for tasks that can continue what they did before. Part of the program slurm.sh,
# which lists the files.

# may_requeue JOB: whether Slurm may start the batch job of the job again.
may_requeue() {
    find_leader "$1"
    [ -s "$lead/slurm/options" ] && read -r sbatch_options <"$lead/slurm/options" || return 1
    case "$sbatch_options " in
    *' --requeue '*) ;;
    *) return 1 ;;
    esac
}

# may_be_requeued JOB: whether state is the end of one try of a batch job, and another may follow.
may_be_requeued() {
    case $state in
    PREEMPTED | NODE_FAIL | BOOT_FAIL) may_requeue "$1" ;;
    *) return 1 ;;
    esac
}

# has_started_since JOB: the answer says that the batch job waits. Whether it has started since then.
has_started_since() {
    [ -s "$1/owner" ] || return 1
    may_requeue "$1" && [ -s "$1/slurm/began" ] || return 0
    read -r began_at <"$1/slurm/began"
    [ "$began_at" -ge "$asked" ]
}

# is_requeued JOB: on the compute node: whether Slurm has ended the task to start it again. If Slurm
# gives no answer, its state tells later whether the job is over.
is_requeued() {
    may_requeue "$1" || return 1
    told=$(mlcr_run_limited 10 scontrol -o show job "$SLURM_JOB_ID" 2>/dev/null) || return 0
    case $told in
    *' PreemptTime='[0-9]*) return 0 ;;
    *' Restarts='*) ;;
    *) return 1 ;;
    esac
    told=${told#*' Restarts='}
    [ "${told%%[!0-9]*}" -gt "${SLURM_RESTART_COUNT:-0}" ]
}

# start_again JOB: on the compute node: whether Slurm starts a job again whose tasks have not all
# ended; set again to the task with which it continues, and count the start.
start_again() {
    may_requeue "$1" && [ ! -e "$1/stop" ] && [ -s "$1/slurm/claimed" ] || return 1
    read -r claimant <"$1/slurm/claimed"
    [ "$claimant" = "$SLURM_JOB_ID" ] || return 1
    restarts=0
    [ ! -s "$1/slurm/restarts" ] || read -r restarts <"$1/slurm/restarts"
    [ "${SLURM_RESTART_COUNT:-0}" -gt "$restarts" ] || return 1
    mlcr_find_current_task "$1"
    [ -n "$mlcr_dir" ] && [ "$mlcr_exit" = pending ] || return 1
    mlcr_write_atomically "$1/slurm/restarts" "$SLURM_RESTART_COUNT" || return 1
    again=$mlcr_number
    # The processes that wrote the log were on another machine, or are gone.
    rm -f -- "$1/slurm/missing" "$mlcr_dir/stdout.writer" "$mlcr_dir/stderr.writer"
    # The copies of the earlier try are on another disk; its log says where.
    rm -f -- "$mlcr_dir/returning" "$mlcr_dir/unreturned"
    [ ! -e "$mlcr_dir/started" ] || printf '\n[mlcube-remote: %s]\n' \
        "Slurm started the task again on $(uname -n): restart $SLURM_RESTART_COUNT" \
        >>"$mlcr_dir/stderr"
}
