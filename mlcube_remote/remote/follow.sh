# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Pass on what a task writes, and read its logs. Called by jobs/ to follow a job.

# mlcr_follow_task JOB N STDOUT STDERR: pass on what the Nth task writes, from these byte offsets on,
# until it ends. What is in the files but was not passed on in time is fetched with mlcr_print_bytes.
mlcr_follow_task() {
    mlcr_dir=$1/tasks/$2
    # What this shell itself has to say must not be taken for the task's: followers count bytes.
    exec 3>&2 2>/dev/null
    tail -c "+$(($3 + 1))" -f -- "$mlcr_dir/stdout" 3>&- &
    mlcr_helpers=$!
    tail -c "+$(($4 + 1))" -f -- "$mlcr_dir/stderr" >&3 3>&- &
    mlcr_helpers="$mlcr_helpers $!"
    # Opening the pipe waits for the supervisor to come to the task, reading it for the task's end:
    # nothing is polled, and nobody waits longer than need be. Whoever outlives this shell by a moment
    # must hold neither of its streams: the channel is open until all have let go of them.
    (
        exec >/dev/null 2>&1 3>&-
        mlcr_has_ended "$mlcr_dir" || read -r _ <"$mlcr_dir/alive"
    ) &
    mlcr_waiter=$!
    # A supervisor that was killed, or had ended just before the pipe was opened, is found slowly.
    (
        exec >/dev/null 2>&1 3>&-
        while sleep 2 && ! mlcr_has_ended "$mlcr_dir" && mlcr_is_supervisor_alive "$1"; do :; done
        kill $mlcr_waiter
    ) &
    mlcr_helpers="$mlcr_helpers $!"
    # shellcheck disable=SC2064 # the pids of now
    trap "kill $mlcr_helpers $mlcr_waiter 2>/dev/null" EXIT
    trap 'exit 0' HUP TERM PIPE
    wait $mlcr_waiter
    # shellcheck disable=SC2086 # pids, as words
    kill $mlcr_helpers 2>/dev/null
    return 0
}

# mlcr_print_bytes FILE OFFSET: print FILE from the byte at OFFSET on, half a mebibyte at the most.
mlcr_print_bytes() {
    tail -c "+$(($2 + 1))" -- "$1" | head -c 524288
}

# mlcr_print_tail_offset FILE LINES: print the offset, in bytes, at which the last LINES lines of FILE begin.
mlcr_print_tail_offset() {
    [ -e "$1" ] || {
        echo 0
        return 0
    }
    mlcr_total_bytes=$(wc -c <"$1")
    mlcr_tail_bytes=$(tail -n "$2" -- "$1" | wc -c)
    # The file may have grown between the two.
    [ "$mlcr_tail_bytes" -le "$mlcr_total_bytes" ] || mlcr_tail_bytes=$mlcr_total_bytes
    echo $((mlcr_total_bytes - mlcr_tail_bytes))
}
