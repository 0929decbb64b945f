# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# The state of a job. A state that the host cannot determine is reported as such, never guessed.
# Called by jobs/, and by every function that must know whether a job is live.

# mlcr_is_supervisor_alive JOB: whether the supervisor of JOB, mlcr_pid, is running. A supervisor
# that has not written its identity yet counts as alive for the minute in which it may start. The
# scheduler of a job knows whether the job waits or runs.
mlcr_is_supervisor_alive() {
    if [ -e "$1/scheduler" ]; then
        case $(/bin/sh "$1/scheduler" state "$1") in
        queued | running | unknown) return 0 ;;
        esac
        return 1
    fi
    mlcr_pid=none
    if [ ! -s "$1/owner" ]; then
        [ -z "$(find "$1/tasks" -prune -mmin +1 2>/dev/null)" ]
        return
    fi
    read -r mlcr_boot_id mlcr_pid mlcr_start_time _ <"$1/owner"
    mlcr_is_process_alive "$mlcr_boot_id" "$mlcr_pid" "$mlcr_start_time"
}

# mlcr_is_on_other_node FILE: whether FILE names a process of another machine, mlcr_other_node, that
# shares this home; set mlcr_boot_id to its boot.
mlcr_is_on_other_node() {
    mlcr_boot_id=
    mlcr_other_node=
    [ -s "$1" ] || return 1
    read -r mlcr_boot_id _ _ mlcr_other_node <"$1"
    [ -n "$mlcr_other_node" ] && mlcr_read_node && [ "$mlcr_other_node" != "$mlcr_node" ]
}

# mlcr_find_current_task JOB: set mlcr_dir to the first task that has not succeeded, and mlcr_exit
# to its exit code or "pending"; set mlcr_dir to nothing if all tasks succeeded.
mlcr_find_current_task() {
    mlcr_dir=
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        [ "$mlcr_exit" = 0 ] || return 0
        mlcr_number=$((mlcr_number + 1))
    done
    mlcr_dir=
}

# mlcr_read_exit DIRECTORY: set mlcr_exit to the exit code of the task, or to "pending".
mlcr_read_exit() {
    for mlcr_exit in "$1"/exit.*; do
        mlcr_exit=${mlcr_exit##*/exit.}
    done
}

# mlcr_has_ended DIRECTORY: whether the task in DIRECTORY has ended.
mlcr_has_ended() {
    [ ! -e "$1/exit.pending" ]
}

# mlcr_find_job_state JOB: set mlcr_job_state to the state of the job:
#
#   absent     it does not exist
#   preparing  claimed by a client that is still connected, or about to start
#   queued     its scheduler has not started it yet
#   unknown    its scheduler does not answer, or says something new; it may run
#   abandoned  claimed by a client that disconnected before it launched the job
#   running    its supervisor is running
#   orphaned   its supervisor died, its task may still run: it can be adopted
#   ended      no task runs, and no further task will start
#   lost       it cannot be running, and left no exit code
#   elsewhere  it is on another machine that shares this home; only that machine can report more
mlcr_find_job_state() {
    if [ ! -d "$1" ]; then
        mlcr_job_state=absent
    elif [ ! -d "$1/tasks" ]; then
        mlcr_find_state_before_launch "$1"
    else
        mlcr_find_current_task "$1"
        if [ -z "$mlcr_dir" ] || [ "$mlcr_exit" != pending ]; then
            mlcr_job_state=ended
        elif [ -e "$1/scheduler" ]; then
            mlcr_job_state=$(/bin/sh "$1/scheduler" state "$1")
        elif mlcr_is_supervisor_alive "$1"; then
            mlcr_job_state=running
        else
            mlcr_find_state_unsupervised "$1"
        fi
    fi
}

# mlcr_find_state_before_launch JOB: set mlcr_job_state for a job that is not launched yet.
mlcr_find_state_before_launch() {
    if mlcr_is_being_launched "$1"; then
        mlcr_job_state=preparing
        return
    fi
    mlcr_other_node=
    [ ! -s "$1/preparing" ] ||
        read -r mlcr_boot_id mlcr_pid mlcr_start_time mlcr_other_node <"$1/preparing"
    if [ -z "$mlcr_other_node" ]; then
        # The client claimed it a moment ago, or disconnected at that moment.
        if [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ]; then
            mlcr_job_state=preparing
        else
            mlcr_job_state=abandoned
        fi
    elif mlcr_is_process_alive "$mlcr_boot_id" "$mlcr_pid" "$mlcr_start_time"; then
        mlcr_job_state=preparing
    elif mlcr_read_node && [ "$mlcr_other_node" != "$mlcr_node" ]; then
        mlcr_job_state=elsewhere
    else
        mlcr_job_state=abandoned
    fi
}

# mlcr_is_being_launched JOB: whether a shell is launching JOB on this machine. The shell may outlive
# the connection that started it.
mlcr_is_being_launched() {
    for mlcr_launcher in "$1"/launcher.*; do
        [ -s "$mlcr_launcher" ] || continue
        read -r mlcr_boot_id mlcr_pid mlcr_start_time _ <"$mlcr_launcher"
        ! mlcr_is_process_alive "$mlcr_boot_id" "$mlcr_pid" "$mlcr_start_time" || return 0
    done
    return 1
}

# mlcr_find_state_unsupervised JOB: set mlcr_job_state for a job whose supervisor died during
# task mlcr_dir.
mlcr_find_state_unsupervised() {
    if [ -e "$1/stop" ] && [ ! -e "$mlcr_dir/started" ]; then
        mlcr_job_state=ended
    elif mlcr_is_on_other_node "$1/owner"; then
        mlcr_job_state=elsewhere
    elif [ -n "$mlcr_other_node" ] && mlcr_read_boot_id &&
        [ "$mlcr_boot_id" != "$mlcr_this_boot_id" ]; then
        mlcr_job_state=lost
    else
        case $(mlcr_print_container_state "$mlcr_dir") in
        running* | exited* | dead* | created* | paused* | restarting* | unknown) mlcr_job_state=orphaned ;;
        initialized* | stopping* | stopped*) mlcr_job_state=orphaned ;; # Podman's
        *) mlcr_job_state=lost ;;
        esac
    fi
}

# mlcr_print_job_state JOB: print the state of the job; see mlcr_find_job_state.
mlcr_print_job_state() {
    mlcr_find_job_state "$1"
    echo "$mlcr_job_state"
}
