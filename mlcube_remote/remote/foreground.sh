# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# What is of use only to the client that waits for it, such as a build, ends with that client. Nobody
# tells it: sshd closes its pipes and no more, and what writes nothing goes on.

# mlcr_attended COMMAND...: run COMMAND, and end it, with all that it has started, when the connection
# is gone that it was asked for on.
mlcr_attended() {
    mlcr_watcher=
    if mlcr_leads_group && mlcr_starttime "$PPID"; then
        mlcr_watch "$PPID" "$mlcr_ticks" &
        mlcr_watcher=$!
        # Once what runs has ended: until then this shell shows that there is something to end.
        trap 'exit 143' TERM
    fi
    "$@"
    mlcr_status=$?
    [ -z "$mlcr_watcher" ] || kill "$mlcr_watcher" 2>/dev/null
    return "$mlcr_status"
}

# mlcr_leads_group: whether this shell's process group is its own, as sshd starts it.
mlcr_leads_group() {
    mlcr_stat=
    { read -r mlcr_stat <"/proc/$$/stat"; } 2>/dev/null || [ -n "$mlcr_stat" ] || return 1
    # shellcheck disable=SC2086 # words
    set -- ${mlcr_stat##*) }
    [ "$3" = $$ ]
}

# mlcr_watch PID STARTTIME: once that process is gone, end all that this shell has started.
mlcr_watch() {
    # Whoever reads the output does not wait for this to end.
    exec >/dev/null 2>&1
    trap 'exit 0' TERM
    while mlcr_starttime "$1" && [ "$mlcr_ticks" = "$2" ]; do
        sleep "${mlcr_pause:-2}"
    done
    trap '' TERM
    mlcr_descend $$
    kill -TERM 0
    mlcr_waited=0
    while kill -0 $$ && [ "$mlcr_waited" -lt 60 ]; do
        mlcr_waited=$((mlcr_waited + 1))
        sleep 1
    done
    # Podman's own containers have sessions of their own, and outlive what should have ended them.
    for mlcr_each in $mlcr_named; do
        mlcr_starttime "${mlcr_each%:*}" && [ "$mlcr_ticks" = "${mlcr_each#*:}" ] &&
            kill -KILL "${mlcr_each%:*}"
    done
}

# mlcr_descend PID: set mlcr_named to "PID:STARTTIME" of every process that descends from this one,
# but for the one that asks.
mlcr_descend() {
    read -r mlcr_self _ </proc/self/stat
    mlcr_found=" $1 "
    mlcr_named=
    mlcr_before=
    while [ "$mlcr_before" != "$mlcr_found" ]; do
        mlcr_before=$mlcr_found
        for mlcr_entry in /proc/[0-9]*; do
            mlcr_pid=${mlcr_entry#/proc/}
            case $mlcr_found in *" $mlcr_pid "*) continue ;; esac
            mlcr_starttime "$mlcr_pid" || continue
            # shellcheck disable=SC2086 # words; the line is what mlcr_starttime read
            set -- ${mlcr_stat##*) }
            case $mlcr_found in *" $2 "*) ;; *) continue ;; esac
            [ "$mlcr_pid" != "$mlcr_self" ] || continue
            mlcr_found="$mlcr_found$mlcr_pid "
            mlcr_named="$mlcr_named $mlcr_pid:$mlcr_ticks"
        done
    done
}
