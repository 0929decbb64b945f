# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Which process is which: pids are used again, so the boot and the start time belong to a name.

# mlcr_boot: print what tells this boot from the next. A file in the home stands in for it in
# tests, where hosts are containers that share one kernel.
mlcr_boot() {
    mlcr_read=unknown
    if [ -r "$HOME/.mlcube-remote-boot-id" ]; then
        read -r mlcr_read <"$HOME/.mlcube-remote-boot-id"
    elif [ -r /proc/sys/kernel/random/boot_id ]; then
        read -r mlcr_read </proc/sys/kernel/random/boot_id
    fi
    printf '%s' "$mlcr_read"
}

# mlcr_starttime PID: print when the process started, in clock ticks since boot; fail where there
# is none, or only what its parent has not taken notice of.
mlcr_starttime() {
    mlcr_stat=
    { read -r mlcr_stat <"/proc/$1/stat"; } 2>/dev/null || [ -n "$mlcr_stat" ] || return 1
    # The command's name, in parentheses, may hold spaces; fields are counted after it.
    # shellcheck disable=SC2086
    set -- ${mlcr_stat##*) }
    [ "$1" != Z ] || return 1
    printf '%s' "${20}"
}

# mlcr_node: print the machine's name, to tell machines apart that share a home.
mlcr_node() {
    mlcr_read=unknown
    [ ! -r /proc/sys/kernel/hostname ] || read -r mlcr_read </proc/sys/kernel/hostname
    printf '%s' "$mlcr_read"
}

# mlcr_identity PID...: print what names the first of these processes that can be seen for ever:
# "BOOT PID STARTTIME NODE".
mlcr_identity() {
    for mlcr_pid in "$@"; do
        ! mlcr_start=$(mlcr_starttime "$mlcr_pid") || break
    done
    printf '%s %s %s %s' "$(mlcr_boot)" "$mlcr_pid" "${mlcr_start:--}" "$(mlcr_node)"
}

# mlcr_lives BOOT PID STARTTIME [NODE]: whether that process still runs.
mlcr_lives() {
    [ "$1" = "$(mlcr_boot)" ] && [ "$(mlcr_starttime "$2")" = "$3" ]
}

# mlcr_publish FILE TEXT: put TEXT into FILE; a reader sees the old file or the new one, whole.
mlcr_publish() {
    printf '%s\n' "$2" >"$1.new" && mv -- "$1.new" "$1"
}
