# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What is of use only to the client that waits for it, such as a build, ends with that client. Nobody
# tells it: sshd closes its pipes and no more, and what writes nothing goes on.

# mlcr_run_in DIRECTORY COMMAND...: run COMMAND in DIRECTORY, its files readable as usual.
mlcr_run_in() {
    cd -- "$1" || return 125
    shift
    umask 022
    "$@"
}

# mlcr_run_while_connected COMMAND...: run COMMAND, and end it, with all that it has started, when the connection
# is gone that it was asked for on.
mlcr_run_while_connected() {
    mlcr_watcher=
    if mlcr_is_group_leader && mlcr_read_start_time "$PPID"; then
        mlcr_watch_connection "$PPID" "$mlcr_ticks" &
        mlcr_watcher=$!
        # Once what runs has ended: until then this shell shows that there is something to end.
        trap 'exit 143' TERM
    fi
    "$@"
    mlcr_status=$?
    [ -z "$mlcr_watcher" ] || kill "$mlcr_watcher" 2>/dev/null
    return "$mlcr_status"
}

# mlcr_is_group_leader: whether this shell's process group is its own, as sshd starts it.
mlcr_is_group_leader() {
    mlcr_stat=
    { read -r mlcr_stat <"/proc/$$/stat"; } 2>/dev/null || [ -n "$mlcr_stat" ] || return 1
    # shellcheck disable=SC2086 # words
    set -- ${mlcr_stat##*) }
    [ "$3" = $$ ]
}

# mlcr_watch_connection PID STARTTIME: once that process is gone, end all that this shell has started.
mlcr_watch_connection() {
    # Whoever reads the output does not wait for this to end.
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
    # Podman's own containers have sessions of their own, and outlive what should have ended them.
    for mlcr_descendant in $mlcr_descendants; do
        mlcr_read_start_time "${mlcr_descendant%:*}" && [ "$mlcr_ticks" = "${mlcr_descendant#*:}" ] &&
            kill -KILL "${mlcr_descendant%:*}"
    done
}

# mlcr_list_descendants PID: set mlcr_named to "PID:STARTTIME" of every process that descends from this one,
# but for the one that asks.
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
