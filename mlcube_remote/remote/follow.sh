# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Pass on what a task writes, and read its logs. Called by jobs/ to follow a job.

# mlcr_follow_task JOB N STDOUT STDERR [MARKER [FOLDER COUNT]...]: pass on what the Nth task writes,
# from these byte offsets, until the task ends. The client reads the bytes that it did not receive in
# time with mlcr_print_bytes. MARKER: then give the answer of mlcr_answer_end on standard output.
mlcr_follow_task() {
    mlcr_dir=$1/tasks/$2
    # Messages of this shell must not mix with the task's output: the client counts bytes.
    exec 3>&2 2>/dev/null
    tail -c "+$(($3 + 1))" -f -- "$mlcr_dir/stdout" 3>&- &
    mlcr_helpers=$!
    tail -c "+$(($4 + 1))" -f -- "$mlcr_dir/stderr" >&3 3>&- &
    mlcr_helpers="$mlcr_helpers $!"
    # Opening the pipe waits until the supervisor reaches the task, reading it waits for the end of
    # the task: no polling, no delay. A process that outlives this shell must not hold its streams,
    # because the channel stays open until the last process closes them.
    (
        exec >/dev/null 2>&1 3>&-
        mlcr_has_ended "$mlcr_dir" || read -r _ <"$mlcr_dir/alive"
    ) &
    mlcr_waiter=$!
    # Polling finds a supervisor that was killed, or that ended just before the pipe was opened.
    (
        exec >/dev/null 2>&1 3>&-
        mlcr_looks=0
        # A job that was stopped before it started writes nothing more.
        if [ -e "$1/stop" ] && [ -e "$1/scheduler" ] && ! mlcr_is_supervisor_alive "$1"; then
            kill $mlcr_waiter
            return
        fi
        while sleep 2 && ! mlcr_has_ended "$mlcr_dir"; do
            mlcr_looks=$((mlcr_looks + 1))
            # A scheduler's answer costs more than a look at a process.
            [ ! -e "$1/scheduler" ] || [ $((mlcr_looks % 5)) -eq 0 ] || [ -e "$1/stop" ] || continue
            mlcr_is_supervisor_alive "$1" || break
        done
        kill $mlcr_waiter
    ) &
    mlcr_helpers="$mlcr_helpers $!"
    # shellcheck disable=SC2064 # the pids of now
    trap "kill $mlcr_helpers $mlcr_waiter 2>/dev/null" EXIT
    trap 'exit 0' HUP TERM PIPE
    wait $mlcr_waiter
    # shellcheck disable=SC2086 # pids, as words
    kill $mlcr_helpers 2>/dev/null
    [ -n "${5-}" ] || return 0
    # Nothing of the task's output may come after the marker.
    # shellcheck disable=SC2086
    wait $mlcr_helpers
    mlcr_job=$1
    mlcr_task=$2
    shift 4
    mlcr_answer_end "$mlcr_job" "$mlcr_task" "$@"
    return 0
}

# mlcr_print_bytes FILE OFFSET: print at most 512 KiB of FILE, starting at byte OFFSET.
mlcr_print_bytes() {
    tail -c "+$(($2 + 1))" -- "$1" | head -c 524288
}

# mlcr_print_tail_offset FILE LINES: print the byte offset at which the last LINES lines of FILE
# start.
mlcr_print_tail_offset() {
    [ -e "$1" ] || {
        echo 0
        return 0
    }
    mlcr_total_bytes=$(wc -c <"$1")
    mlcr_tail_bytes=$(tail -n "$2" -- "$1" | wc -c)
    # The file may have grown between the two commands.
    [ "$mlcr_tail_bytes" -le "$mlcr_total_bytes" ] || mlcr_tail_bytes=$mlcr_total_bytes
    echo $((mlcr_total_bytes - mlcr_tail_bytes))
}
