# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Commands that only the waiting client needs, such as a build: they stop when its connection
# closes. sshd only closes the command's pipes, and a command that writes nothing would not notice
# that. Called by dispatch/ to configure a cube.

# mlcr_run_in DIRECTORY COMMAND...: run COMMAND in DIRECTORY with the usual modes for new files.
mlcr_run_in() {
    cd -- "$1" || return 125
    shift
    umask 022
    "$@"
}

# mlcr_run_while_connected COMMAND...: run COMMAND; when the connection that called this function
# closes, stop COMMAND and all processes that it started.
mlcr_run_while_connected() {
    mlcr_watcher=
    if mlcr_is_group_leader && mlcr_read_start_time "$PPID"; then
        mlcr_watch_connection "$PPID" "$mlcr_ticks" &
        mlcr_watcher=$!
        # The trap runs after COMMAND has ended; until then this shell shows that something runs.
        trap 'exit 143' TERM
    fi
    "$@"
    mlcr_status=$?
    [ -z "$mlcr_watcher" ] || kill "$mlcr_watcher" 2>/dev/null
    return "$mlcr_status"
}

# mlcr_is_group_leader: whether this shell leads its own process group, as sshd starts it.
mlcr_is_group_leader() {
    mlcr_read_start_time "$$" || return 1
    # shellcheck disable=SC2086 # words; the line is what mlcr_read_start_time read
    set -- ${mlcr_stat##*) }
    [ "$3" = $$ ]
}

# mlcr_watch_connection PID STARTTIME: wait until that process is gone, then stop all processes that
# this shell started.
mlcr_watch_connection() {
    # The reader of the output must not wait for this process.
    exec >/dev/null 2>&1
    trap 'exit 0' TERM
    while mlcr_read_start_time "$1" && [ "$mlcr_ticks" = "$2" ]; do
        sleep "${mlcr_poll_interval_s:-2}"
    done
    trap '' TERM
    mlcr_list_descendants $$
    kill -TERM 0
    mlcr_waited_s=0
    while kill -0 $$ && [ "$mlcr_waited_s" -lt 60 ]; do
        mlcr_waited_s=$((mlcr_waited_s + 1))
        sleep 1
    done
    # Podman's containers have their own sessions, so the signal to the group does not reach them.
    for mlcr_descendant in $mlcr_descendants; do
        mlcr_read_start_time "${mlcr_descendant%:*}" &&
            [ "$mlcr_ticks" = "${mlcr_descendant#*:}" ] &&
            kill -KILL "${mlcr_descendant%:*}"
    done
}

# mlcr_list_descendants PID: set mlcr_descendants to "PID:STARTTIME" of all processes below PID,
# except the calling process.
mlcr_list_descendants() {
    read -r mlcr_self _ </proc/self/stat
    mlcr_found=" $1 "
    mlcr_descendants=
    mlcr_before=
    while [ "$mlcr_before" != "$mlcr_found" ]; do
        mlcr_before=$mlcr_found
        for mlcr_entry in /proc/[0-9]*; do
            mlcr_pid=${mlcr_entry#/proc/}
            case $mlcr_found in *" $mlcr_pid "*) continue ;; esac
            mlcr_read_start_time "$mlcr_pid" || continue
            # shellcheck disable=SC2086 # words; the line is what mlcr_read_start_time read
            set -- ${mlcr_stat##*) }
            case $mlcr_found in *" $2 "*) ;; *) continue ;; esac
            [ "$mlcr_pid" != "$mlcr_self" ] || continue
            mlcr_found="$mlcr_found$mlcr_pid "
            mlcr_descendants="$mlcr_descendants $mlcr_pid:$mlcr_ticks"
        done
    done
}
