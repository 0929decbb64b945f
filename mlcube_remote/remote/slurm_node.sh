# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What runs on the compute node: the jobs of one batch job. Part of the program slurm.sh, which lists
# the files.

# run LEADER: run the job, or those that share its batch job, one after the other.
run() {
    is_ending=
    cause=
    job=$1
    trap 'end_task "$job"' TERM
    trap 'end_stopped_task "$job"' USR1
    if [ ! -s "$1/slurm/members" ]; then
        run_job "$1"
        return
    fi
    true >"$1/slurm/started"
    # The directory of the leader may be removed before its members end.
    members=$(cat "$1/slurm/members")
    for member in $members; do
        if [ -z "$is_ending" ]; then
            run_job "${1%/*}/$member" >>"${1%/*}/$member/supervise.log" 2>&1
        elif [ "$cause" != REQUEUED ] && claim "${1%/*}/$member" "$SLURM_JOB_ID"; then
            leave_unstarted "${1%/*}/$member"
        fi
    done
}

# run_job JOB: run the supervisor of the job, and end its task before Slurm does.
run_job() {
    # If Slurm got the job twice, the second one has nothing to do.
    again=
    claim "$1" "$SLURM_JOB_ID" || start_again "$1" || return 0
    date +%s >"$1/slurm/began"
    # Another node may have had copies.
    rm -f -- "$1/slurm/scratch"
    job=$1
    (
        if [ -s "$1/slurm/environment" ]; then
            # shellcheck disable=SC1091 # made by save_environment
            . "$1/slurm/environment"
            may_requeue "$1" || rm -f -- "$1/slurm/environment"
        fi
        exec /bin/sh "$1/supervise" "$1" ${again:+again "$again"}
    ) &
    supervisor=$!
    # A signal ends wait(1), too.
    while kill -0 "$supervisor" 2>/dev/null; do wait "$supervisor"; done
    leave_scratch "$1"
    if [ "$cause" = REQUEUED ]; then
        outlast_revocation
        return 0
    fi
    rm -f -- "$1/slurm/environment"
    true >"$1/slurm/done"
}

# outlast_revocation: Slurm has ended this try of the batch job at the second ended_at, and a node refuses
# to start the job again in the same second: its permission counts as revoked, and the job as failed.
# As long as this shell lives, Slurm does not start it.
outlast_revocation() {
    while [ "$(date +%s)" -le $((ended_at + 1)) ]; do sleep 1; done
}

# leave_unstarted JOB: record that the batch job ends before the job's turn, because of cause.
leave_unstarted() {
    rm -f -- "$1/slurm/environment"
    word=NOT_REACHED
    [ "$cause" != CANCELLED ] || word=CANCELLED
    mlcr_write_atomically "$1/slurm/end" "$word" && true >"$1/slurm/over"
}

# end_stopped_task JOB: somebody stopped one of several jobs, while this one runs. End it if it is
# that one.
end_stopped_task() {
    # A change to its directory makes this machine read it again.
    true >"$1/look.$$" && rm -f -- "$1/look.$$"
    [ ! -e "$1/stop" ] || stop_tasks "$1"
}

# end_task JOB: Slurm sent SIGTERM to this shell: a minute before the time limit, or because the job
# is cancelled. Save why, and stop the task.
end_task() {
    [ -z "$is_ending" ] || return 0
    is_ending=yes
    ended_at=$(date +%s)
    if [ ! -e "$1/stop" ] && is_requeued "$1"; then
        cause=REQUEUED
    else
        cause=$(print_cause)
        # Slurm may signal all processes of the job once more, as if somebody cancels it twice.
        [ -n "$cause" ] || cause=$(print_cause)
        [ -n "$cause" ] || cause=CANCELLED
    fi
    if [ ! -e "$1/stop" ] && [ "$cause" != REQUEUED ]; then
        (
            trap '' TERM
            mlcr_write_atomically "$1/slurm/end" "$cause"
        )
        true >"$1/stop"
    fi
    stop_tasks "$1"
}

# stop_tasks JOB: end the task of the job that runs.
stop_tasks() {
    grace=10
    [ ! -s "$1/slurm/grace" ] || read -r grace <"$1/slurm/grace"
    for ended_task in "$1"/tasks/*; do
        mlcr_is_task_running "$ended_task" || continue
        mlcr_stop_task "$ended_task" "$grace"
    done
}

# print_cause: print why Slurm sent SIGTERM, as a state of Slurm.
print_cause() {
    asked=$(mlcr_run_limited 10 squeue -h -j "$SLURM_JOB_ID" -o '%T %L %r' 2>/dev/null)
    case $asked in
    *TimeLimit* | TIMEOUT* | RUNNING\ [01]:* | RUNNING\ 0[01]:[0-5][0-9]\ *) echo TIMEOUT ;;
    PREEMPTED* | *Preempt*) echo PREEMPTED ;;
    *) echo CANCELLED ;;
    esac
}
