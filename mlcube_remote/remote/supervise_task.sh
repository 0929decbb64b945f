# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Run the command of a task, and write its logs; copy what it mounts to another disk and back, if the
# user wants that. Part of the program supervise.sh.

# run_task DIRECTORY: run the task's command. The client quoted its words for /bin/sh.
run_task() (
    task=$1
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$task/command"
    exec </dev/null 9>&-
    if [ -e "$task/container" ]; then
        # The engine's client may hang; only a process group of its own can be stopped as a whole.
        pid=
        ! command -v setsid >/dev/null 2>&1 || read -r pid _ </proc/self/stat
        [ -z "$pid" ] || echo "$pid" >"$task/client"
        # A stop that comes later sees the file "client"; one that came before has seen no process.
        ! mlcr_is_told_to_end "$task" || exit 143
        umask 022
        [ -n "$pid" ] || exec "$@"
        exec setsid "$@"
    fi
    # Without a container, only a process group of its own can be stopped as a whole.
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec setsid sh -c 'echo $$ >"$0/group"
        [ ! -e "${0%/tasks/*}/stop" ] && [ ! -e "$0/timedout" ] || exit 143
        umask 022; exec "$@"' "$task" "$@"
)

# write_log FILE LIMIT: append standard input to FILE, at most LIMIT bytes; read and discard the
# rest, so that the task neither blocks nor fails. FILE must never shrink: a client may already
# follow it.
write_log() {
    # An open descriptor 9 means that the supervisor lives. exec closes it, because a shell keeps a
    # copy of a descriptor that is closed for one command only.
    exec 9>&-
    [ -z "$is_scheduled" ] || trap '' TERM
    # shellcheck disable=SC2094 # mlcr_note_writer only derives a name
    (
        trap '' XFSZ
        ulimit -f $((($2 + 511) / 512))
        mlcr_note_writer "$1"
        exec cat
    ) >>"$1" 2>/dev/null || {
        # A rename needs no disk space.
        mv -f -- "${1%/*}/cut.pending" "${1%/*}/cut"
        printf '\n[mlcube-remote: the log is cut here: %s]\n' \
            "its limit is $2 bytes, or the disk is full" >>"$1"
        exec cat >/dev/null
    } 2>/dev/null
}

# run_logged DIRECTORY LIMIT: run the task, and limit each of its logs to LIMIT bytes.
run_logged() {
    if [ "$2" -eq 0 ]; then
        run_task "$1" >>"$1/stdout" 2>>"$1/stderr"
        return
    fi
    write_log "$1/stdout" "$2" <"$1/out" &
    log_writers=$!
    write_log "$1/stderr" "$2" <"$1/err" &
    log_writers="$log_writers $!"
    mlcr_record_order "$1" &
    order_recorder=$!
    run_task "$1" >"$1/out" 2>"$1/err"
    code=$?
    killer=
    if [ ! -e "$1/container" ] || [ -e "$1/hung" ]; then
        # A process that the task left behind may hold its output open forever.
        # shellcheck disable=SC2086 # pids, as words
        (
            exec 9>&-
            sleep 5
            kill -KILL $log_writers
        ) 2>/dev/null &
        killer=$!
    fi
    # shellcheck disable=SC2086
    wait $log_writers
    kill "$order_recorder" 2>/dev/null
    wait "$order_recorder"
    [ -z "$killer" ] || kill "$killer" 2>/dev/null
    return $code
}

# copy_inputs DIRECTORY: let the scheduler copy what the task mounts to a disk of this machine, if the
# user wants that. The task starts after that. If it fails, save the reason, also in the task's log.
copy_inputs() {
    has_copies=
    job=${1%/tasks/*}
    [ -e "$job/slurm/copied.${1##*/}" ] || return 0
    reason=$(exec 9>&- 2>&1 && exec setsid /bin/sh "$job/scheduler" fetch "$job" "${1##*/}") || {
        status=$?
        # A signal may have ended it.
        if [ -z "$is_terminated" ] && [ ! -e "$job/stop" ]; then
            mlcr_save_refusal "$1" "$status" "$reason"
        fi
        return 1
    }
    rm -f -- "$1/group"
    [ ! -e "$job/stop" ] || return 1
    has_copies=yes
    date +%s%n%N >"$1/started"
    mlcr_start_clock "$1/started"
}

# return_outputs DIRECTORY: let the scheduler copy back what the task wrote. If that fails, save the
# task's exit code and the reason, also in its log; a task whose outputs are missing does not succeed.
return_outputs() {
    [ -n "$has_copies" ] || return 0
    reason=$(exec 9>&- 2>&1 && exec /bin/sh "$job/scheduler" give-back "$job" "${1##*/}") && return
    reason="$reason (kept: $(mlcr_print_line "$job/slurm/unreturned"))"
    printf '%s %s\n' "$code" "$reason" >"$1/unreturned"
    printf 'mlcube-remote: %s\n' "$reason" >>"$1/stderr"
    [ "$code" -ne 0 ] || code=1
}
