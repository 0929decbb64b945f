# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# The scheduler of one job that Slurm starts. mlcr_schedule_job stores this text in the job's
# directory as the file "scheduler", with the library functions that it uses. Another scheduler would
# be another program with the same commands:
#
#   sh scheduler submit JOB       hand the job over. Status 21: refused, with the reason on stderr;
#                                 22: no answer, so the job may be queued
#   sh scheduler state JOB        print "queued", "running", "ended", "lost" or "unknown"
#   sh scheduler report JOB       report records: why it waits, and how the scheduler ended it
#   sh scheduler exec JOB TERMINAL WORD...  run a command in the container of its running task;
#                                 TERMINAL: "yes" if the standard streams are a terminal
#   sh scheduler enter JOB TERMINAL WORD...  the same, on the compute node
#   sh scheduler requeued JOB     on the compute node: status 0 if the task was ended to start again
#   sh scheduler fetch JOB N      on the compute node: copy what the Nth task mounts to scratch
#   sh scheduler give-back JOB N  on the compute node: copy back what the Nth task changed there. Both
#                                 print the reason if they fail
#   sh scheduler stop JOB GRACE   end it, queued or running; after GRACE seconds by force
#
# The job's directory stays the only record: Slurm is asked about what the directory cannot say. It
# has these files of Slurm's:
#
#   slurm/options      shell text that sets the parameters to the options of sbatch
#   slurm/setup        shell text that runs before the tasks; may be empty
#   slurm/variables    names of variables that the tasks need
#   slurm/environment  their values, until the compute node has read them
#   slurm/batch        the script that Slurm runs
#   slurm/submitting   exists once the job was about to be submitted
#   slurm/answer, id   the answer of sbatch; the id of the batch job
#   slurm/submitted    when sbatch answered, in seconds since the epoch
#   slurm/began        when a compute node began with the job, in seconds since the epoch
#   slurm/restarts     how often Slurm has started the job again
#   slurm/claimed      the id of the batch job that runs the tasks; "stopped": none will
#   slurm/leader       the job whose directory has the files of the batch job, if several jobs share
#                      it; they have no options of their own
#   slurm/members      the jobs that share the batch job of this one, in the order in which they run
#   slurm/done         exists once the supervisor of one of them is gone, while the others go on
#   slurm/started      exists once the batch job that several jobs share has started
#   slurm/grace        seconds between SIGTERM and SIGKILL if the job is stopped
#   slurm/missing      when Slurm first said that the job is over, while no end was recorded
#   slurm/over         exists once the job counts as over although no end was recorded
#   slurm/end          "STATE DETAIL": how Slurm ended the job
#   slurm/scratch.path and others    copies on a disk of the compute node: see slurm_scratch.sh
#
# The answer of squeue is shared by all jobs of the user below one remote_root: see slurm_queue.sh.

# is_owner_alive JOB: whether the supervisor is a process of this machine, and runs.
is_owner_alive() {
    [ -s "$1/owner" ] || return 1
    read -r owner_boot owner_pid owner_time owner_node <"$1/owner"
    mlcr_read_node
    [ "$owner_node" = "$mlcr_node" ] && mlcr_is_process_alive "$owner_boot" "$owner_pid" "$owner_time"
}

# print_state JOB: print the state of a job whose tasks have not ended.
print_state() {
    if is_owner_alive "$1"; then
        echo running
        return
    fi
    if [ -s "$1/slurm/end" ] && [ -e "$1/slurm/over" ]; then
        print_end "$1"
        return
    fi
    if is_stopped_before_start "$1"; then
        echo ended
        return
    fi
    ask_slurm "$1"
    case $state in
    PENDING | CONFIGURING | POWER_UP_NODE | REQUEUED | REQUEUE_HOLD | REQUEUE_FED | SPECIAL_EXIT | \
        RESV_DEL_HOLD)
        if has_started_since "$1"; then echo running; else echo queued; fi
        ;;
    RUNNING | COMPLETING | SUSPENDED | STOPPED | SIGNALING | STAGE_OUT | RESIZING)
        if waits_for_others "$1"; then
            echo queued
        elif [ -s "$1/slurm/leader" ] && [ -e "$1/slurm/done" ]; then
            state=COMPLETED
            print_end_or_wait "$1"
        else
            echo running
        fi
        ;;
    BOOT_FAIL | CANCELLED | COMPLETED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | \
        TIMEOUT | ABSENT) print_end_or_wait "$1" ;;
    # Also REVOKED: another cluster of a federation may have the job.
    *) echo unknown ;;
    esac
}

# print_end_or_wait JOB: the batch job is over, or Slurm no longer knows it. Print the end that the
# supervisor recorded; wait for that record, because a network file system may show it late.
print_end_or_wait() {
    mlcr_find_current_task "$1"
    # A change to its directory makes this machine read it again.
    [ -z "$mlcr_dir" ] || { true >"$mlcr_dir/look.$$" && rm -f -- "$mlcr_dir/look.$$"; }
    mlcr_find_current_task "$1"
    if [ -z "$mlcr_dir" ] || [ "$mlcr_exit" != pending ]; then
        echo ended
        return
    fi
    if [ -z "$id" ]; then
        # A shell may be submitting it, or was killed before that.
        if mlcr_is_being_launched "$1" || is_held_by_client "$1" ||
            [ -z "$(find "$1/tasks" -prune -mmin +1)" ]; then
            echo queued
        else
            [ -s "$1/slurm/end" ] || mlcr_write_atomically "$1/slurm/end" NOT_SUBMITTED
            echo lost
        fi
        return
    fi
    if [ "$state" = COMPLETED ] && [ -e "$1/stop" ] && [ ! -e "$mlcr_dir/started" ]; then
        echo ended
        return
    fi
    if [ -s "$1/owner" ] || [ "$state" != CANCELLED ]; then
        [ -s "$1/slurm/missing" ] || date +%s >"$1/slurm/missing"
        read -r since <"$1/slurm/missing"
        patience_s=5
        ! may_be_requeued "$1" || patience_s=60
        if [ $(($(date +%s) - since)) -lt $patience_s ]; then
            echo running
            return
        fi
    fi
    case $state in
    ABSENT | CANCELLED) ask_accounting ;;
    esac
    [ -s "$1/slurm/end" ] || mlcr_write_atomically "$1/slurm/end" "$state"
    true >"$1/slurm/over"
    rm -f -- "$1/slurm/environment"
    print_end "$1"
}

# print_end JOB: print the state of a job that is over and left no exit code.
print_end() {
    if [ -s "$1/owner" ]; then
        echo lost
    elif [ -e "$1/stop" ]; then
        echo ended
    else
        case $(mlcr_print_line "$1/slurm/end") in
        CANCELLED*) echo ended ;;
        *) echo lost ;;
        esac
    fi
}

# report JOB: report what Slurm knows of the job and its directory does not: the id, why it waits,
# how it ended, and the end of its log if nothing else explains that.
report() {
    read_id "$1"
    [ -z "$id" ] || mlcr_print_record slurm "$id"
    mlcr_find_current_task "$1"
    if [ -n "$mlcr_dir" ] && [ "$mlcr_exit" = pending ] && [ "$(print_state "$1")" = queued ]; then
        ask_slurm "$1"
        case $reason in
        '' | None | '(null)') reason=Starting ;;
        esac
        [ "$state" != RUNNING ] || ! waits_for_others "$1" || reason='after other trials'
        mlcr_print_record queued "$reason"
    fi
    [ ! -s "$1/slurm/end" ] || mlcr_print_record scheduler "$(mlcr_print_line "$1/slurm/end")"
    if [ -e "$1/slurm/over" ] && [ ! -s "$1/owner" ] && [ -s "$lead/supervise.log" ]; then
        mlcr_print_record log_end "$(tail -n 3 -- "$lead/supervise.log" | tr -d '\000')"
    fi
}

# stop JOB GRACE: end the batch job. A queued one is removed from the queue; the shell of a running
# one stops the task as on any other host.
stop() {
    printf '%s\n' "$2" >"$1/slurm/grace" && true >"$1/stop" || return 1
    if [ ! -s "$1/slurm/options" ] || [ -s "$1/slurm/leader" ]; then
        stop_one_of_several "$1" "$2"
        return
    fi
    read_id "$1"
    [ -n "$id" ] || find_by_name "$1" || return
    read_id "$1"
    mlcr_run_limited 30 scancel --state=PENDING "$id" 2>/dev/null
    read_queue "$1" -1
    find_in_queue
    case $state in
    SILENT) return 1 ;;
    RUNNING | SUSPENDED | COMPLETING) ;;
    CONFIGURING)
        mlcr_run_limited 30 scancel "$id"
        return
        ;;
    *)
        # No node reads it any more.
        rm -f -- "$1/slurm/environment"
        return 0
        ;;
    esac
    mlcr_run_limited 30 scancel --batch --signal=TERM "$id" 2>/dev/null
    ! wait_for_end "$1" $(($2 + 5)) || return 0
    # The job ends when what its task wrote is copied back.
    ! is_returning "$1" || return 0
    mlcr_run_limited 30 scancel "$id"
}

# exec_on_node JOB TERMINAL WORD...: run a command in the container of the job's running task, in a
# step beside the batch script. Status 125: Slurm does not permit it.
exec_on_node() {
    read_id "$1"
    if ! command -v srun >/dev/null 2>&1; then
        echo 'srun was not found on the login node' >&2
        return 125
    fi
    terminal_option=
    [ "$2" != yes ] || terminal_option=--pty
    # Without --overlap, the step would wait for the resources that the batch script has.
    exec srun --quiet --jobid="$id" --overlap --relative=0 --nodes=1 --ntasks=1 $terminal_option \
        /bin/sh "$1/scheduler" enter "$@"
}

# wait_for_end JOB SECONDS: wait until the task that runs has ended; fail after SECONDS.
wait_for_end() {
    waited_s=0
    while [ $waited_s -le "$2" ]; do
        mlcr_find_current_task "$1"
        [ -n "$mlcr_dir" ] && [ "$mlcr_exit" = pending ] || return 0
        sleep 1
        waited_s=$((waited_s + 1))
    done
    return 1
}

# claim JOB WORD: claim the tasks of the job; fail if that was done before.
claim() {
    (
        set -C
        printf '%s\n' "$2" >"$1/slurm/claimed"
    ) 2>/dev/null
}

umask 077
case $1 in
submit) submit "$2" ;;
state) print_state "$2" ;;
report) report "$2" ;;
stop) stop "$2" "$3" ;;
run) run "$2" ;;
requeued) is_requeued "$2" ;;
fetch) fetch "$2" "$3" ;;
give-back) give_back "$2" "$3" ;;
exec) shift && exec_on_node "$@" ;;
enter) shift && mlcr_enter_job "$@" ;;
esac
