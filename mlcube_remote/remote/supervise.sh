# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# The supervisor of one job: runs its tasks in order, writes their logs, and publishes how each task
# ended. It depends only on the job's directory and needs no client. The client prepends the library
# functions that it uses and the parts, and mlcr_launch_job stores the text in the job's directory. The
# files of that directory are listed in launch.sh.
# Usage: sh supervise JOB            run the job
#        sh supervise JOB adopt N    continue with its Nth task, whose supervisor died
#        sh supervise JOB again N    run its Nth task and the next ones again

# enforce_timeout DIRECTORY SECONDS GRACE: stop the task after SECONDS. Standard input is the pipe that
# the supervisor holds open, so this process exits when the task ends.
enforce_timeout() {
    mlcr_run_limited "$2" cat >/dev/null 2>&1
    # The exit status of timeout(1): 124 in coreutils, 143 in busybox.
    case $? in
    124 | 143) ;;
    *) return ;;
    esac
    mlcr_has_ended "$1" && return
    true >"$1/timedout"
    mlcr_stop_task "$1" "$3"
}

# start_timer DIRECTORY: enforce the rest of the task's time limit, if it has one.
start_timer() {
    timer=
    [ -s "$1/timeout" ] || return 0
    now=$(date +%s)
    started_at=$now
    # On a full disk the start time could not be written.
    [ ! -s "$1/started" ] || started_at=$(mlcr_print_line "$1/started")
    read -r limit grace <"$1/timeout"
    remaining=$((limit - now + started_at))
    [ "$remaining" -gt 0 ] || remaining=1
    # Open the pipe here, while this shell holds its other end: otherwise opening it would block.
    exec 8<"$1/alive"
    (
        exec <&8 8<&- 9>&-
        # The job of an earlier version has no grace.
        enforce_timeout "$1" "$remaining" "${grace:-10}"
    ) &
    timer=$!
    exec 8<&-
}

# print_daemon_identity: print what identifies the running engine daemon, if that is readable.
print_daemon_identity() {
    [ -r /var/run/docker.pid ] || return 0
    read -r pid </var/run/docker.pid
    mlcr_read_start_time "$pid"
    printf '%s %s' "$pid" "$mlcr_ticks"
}

# save_container_state DIRECTORY: save the container's final state. The engine's report is used,
# because the status of "docker run" mixes the program's exit codes with the engine's own. Wait
# while the engine restarts.
save_container_state() {
    [ -s "$1/cid" ] || return 0
    state=$(mlcr_print_container_state "$1")
    tries=0
    max_tries=40
    ! [ -e "$1/timedout" ] || max_tries=2
    while [ "$state" = unknown ] && [ $tries -lt $max_tries ]; do
        sleep 3
        tries=$((tries + 1))
        state=$(mlcr_print_container_state "$1")
    done
    case $state in
    *' 137 false'*)
        # An engine may learn of the end before it learns that memory ran out: ask again.
        [ -e "${1%/tasks/*}/stop" ] || [ -e "$1/timedout" ] || sleep 1
        second_state=$(mlcr_print_container_state "$1")
        [ "$second_state" = unknown ] || state=$second_state
        ;;
    esac
    case $state in
    running* | paused* | stopping*)
        # The engine's client lost its container, which is still running.
        true >"$1/degraded"
        mlcr_run_engine "$1" wait -- "$(mlcr_print_line "$1/cid")" >/dev/null || sleep 3
        save_container_state "$1"
        ;;
    absent) true >"$1/removed" ;;
    unknown) ;;
    *)
        mlcr_write_atomically "$1/inspect" "$state" 2>/dev/null ||
            save_state_in_name "$1" "$state"
        ;;
    esac
}

# save_state_in_name DIRECTORY STATE: save the first three words of the state in a file name, which
# needs no disk space.
save_state_in_name() {
    task=$1
    # shellcheck disable=SC2086 # words
    set -- $2
    mv -f -- "$task/inspect.pending" "$task/inspect.$1,$2,$3"
}

# remove_container DIRECTORY: remove the container; its log and state are already saved. No client
# waits for that, so it runs with low priority.
remove_container() (
    task=$1
    [ -s "$task/cid" ] || return 0
    set -- rm -- "$(mlcr_print_line "$task/cid")"
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$task/engine"
    # One core is enough for the engine's client (see engine.sh).
    export GOMAXPROCS=1
    exec nice "$@" >/dev/null 2>&1
)

# run_to_end DIRECTORY: run the task and wait for its end; set code.
run_to_end() {
    # A few bytes, which a reader sees completely or not at all: no rename is needed.
    date +%s%n%N >"$1/started"
    mlcr_start_clock "$1/started"
    # A stop that came just before has seen no task that runs.
    ! mlcr_is_told_to_end "$1" || {
        code=143
        return
    }
    # Directly before the start, because an earlier task may have changed the directories.
    mlcr_begin_task "$1" || {
        code=1
        return
    }
    copy_inputs "$1" || {
        code=1
        return
    }
    start_timer "$1"
    daemon_before=
    [ ! -e "$1/container" ] || daemon_before=$(print_daemon_identity)
    run_logged "$1" "$limit"
    code=$?
    # A task that has ended has not reached its time limit.
    [ -z "$timer" ] || [ -e "$1/timedout" ] || kill "$timer" 2>/dev/null
    if [ $code -ne 0 ] && [ -e "$1/container" ]; then
        save_container_state "$1"
        [ "$daemon_before" = "$(print_daemon_identity)" ] || true >"$1/restarted"
    fi
    return_outputs "$1"
}

# adopt_task DIRECTORY: wait for the end of a task that another supervisor started; set code. Fail
# if its exit code cannot be known.
adopt_task() {
    true >"$1/degraded"
    start_timer "$1"
    code=1
    if [ -e "$1/container" ]; then
        mlcr_run_engine "$1" wait -- "$(mlcr_print_line "$1/cid")" >/dev/null
        save_container_state "$1"
        read_container_code "$1"
    else
        read -r group <"$1/group"
        while kill -0 "-$group" 2>/dev/null; do sleep 1; done
        # Only the parent of a process receives its exit code.
        return 1
    fi
}

# read_container_code DIRECTORY: set code to the exit code in the saved state; fail if there is
# none.
read_container_code() {
    code=
    if [ -s "$1/inspect" ]; then
        read -r _ code _ <"$1/inspect"
    else
        for file_name in "$1"/inspect.*,*,*; do
            file_name=${file_name##*/inspect.}
            file_name=${file_name#*,}
            code=${file_name%%,*}
        done
    fi
    case $code in
    '' | *[!0-9]*) return 1 ;;
    esac
}

# chown_outputs DIRECTORY: give the task's outputs to the user, or save why that failed.
chown_outputs() (
    exec </dev/null 9>&-
    task=$1
    [ -s "$task/own" ] || return 0
    # shellcheck disable=SC1091 # made by mlcr_write_mounts
    . "$task/mounts"
    # The task may have replaced a directory that it mounts, through another one.
    reason=$(mlcr_existing_only=yes mlcr_check_mounts "$@" 2>&1) && {
        # shellcheck disable=SC1091 # made by mlcr_write_task
        . "$task/own"
        reason=$(mlcr_chown_outputs "$task" "$@" 2>&1)
    } ||
        printf '%s\n' "${reason:-no reason given}" >"$task/foreign"
)

# remove_late_containers JOB: after the engine's client hung and was stopped, remove a container that
# the engine makes from its request all the same. The engine may hang, too, and answer later.
remove_late_containers() {
    for task in "$1"/tasks/*; do
        [ -e "$task/hung" ] || continue
        pause=1
        while [ $pause -le 256 ] && [ -e "$task/hung" ]; do
            mlcr_remove_container "$task" "${1##*/}"
            sleep $pause
            pause=$((pause * 2))
        done
    done
}

# publish_end DIRECTORY: publish how the task ended.
publish_end() {
    # Another signal to all processes of the job must not end these commands.
    [ -z "$is_scheduled" ] || trap '' TERM
    date +%s%n%N >"$1/finished"
    # Before the owner is changed, which changes the times of the entries.
    mlcr_compare_outputs "${1%/tasks/*}" "${1##*/}" "$1"
    # A client that sees the end may read the outputs.
    chown_outputs "$1"
    mlcr_compare_unknown_outputs "${1%/tasks/*}" "${1##*/}"
    # The exit status of StaleOutputError.
    [ "$code" -ne 0 ] || mlcr_require_fresh_outputs "${1%/tasks/*}" "${1##*/}" || code=119
    mv -- "$1/exit.pending" "$1/exit.$code"
    exec 9>&-
    [ ! -e "$1/container" ] || remove_container "$1"
    # The home and the /tmp of a task on Singularity or Apptainer, which may be large.
    [ ! -e "${1%/tasks/*}/private/${1##*/}" ] || rm -rf -- "${1%/tasks/*}/private/${1##*/}"
    [ -z "$is_scheduled" ] || trap 'is_terminated=yes' TERM
}

# is_requeued JOB: whether the scheduler has ended the task to start the job again later: this is not
# the task's end, even if it exits with 0.
is_requeued() {
    [ -n "$is_terminated" ] && [ ! -e "$1/stop" ] && /bin/sh "$1/scheduler" requeued "$1"
}

# supervise JOB [adopt N | again N]: run the tasks of the job; with N, start at the Nth.
supervise() {
    # Without an identity that others can check, it would count as dead, and the task would run
    # twice.
    mlcr_identify_process $$
    mlcr_write_atomically "$1/owner" "$mlcr_process_identity" || return
    mlcr_announce_gpus "$1"
    limit=$(mlcr_print_line "$1/log-limit")
    number=${3:-1}
    adopts=
    [ "${2-}" != adopt ] || adopts=yes
    [ -n "${2-}" ] || mlcr_note_outputs "$1"
    while [ -d "$1/tasks/$number" ]; do
        task=$1/tasks/$number
        exec 9<>"$task/alive"
        if [ -n "$adopts" ]; then
            adopt_task "$task" || return
            publish_end "$task"
            adopts=
            # Only the dead supervisor had the secrets that the next tasks need.
            [ ! -e "$1/secrets" ] || true >"$1/stop" || return
        else
            [ ! -e "$1/stop" ] || return
            run_to_end "$task"
            ! is_requeued "$1" || return
            publish_end "$task"
        fi
        [ "$code" -eq 0 ] || return
        number=$((number + 1))
    done
}

umask 077
trap '' HUP
# A scheduler sends SIGTERM to all processes of a job; this one must outlive the task. The commands
# that it starts do not inherit the trap.
is_scheduled=
is_terminated=
if [ -e "$1/scheduler" ]; then
    is_scheduled=yes
    trap 'is_terminated=yes' TERM
fi
supervise "$@"
mlcr_withdraw_gpus "$1"
remove_late_containers "$1"
