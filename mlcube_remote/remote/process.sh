# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Which process is which: pids are used again, so the boot and the start time belong to a name.

#
# What is asked in every run sets a variable: printing it would cost a process each time.

# mlcr_read_boot_id: set mlcr_this_boot to what tells this boot from the next. A file in the home
# stands in for it in tests, where hosts are containers that share one kernel.
mlcr_read_boot_id() {
    mlcr_this_boot_id=unknown
    if [ -r "$HOME/.mlcube-remote-boot-id" ]; then
        read -r mlcr_this_boot_id <"$HOME/.mlcube-remote-boot-id"
    elif [ -r /proc/sys/kernel/random/boot_id ]; then
        read -r mlcr_this_boot_id </proc/sys/kernel/random/boot_id
    fi
}

# mlcr_print_boot_id: print what tells this boot from the next.
mlcr_print_boot_id() {
    mlcr_read_boot_id
    printf '%s' "$mlcr_this_boot_id"
}

# mlcr_read_start_time PID: set mlcr_ticks to when the process started, in clock ticks since boot; fail
# where there is none, or only what its parent has not taken notice of.
mlcr_read_start_time() {
    mlcr_ticks=
    mlcr_stat=
    { read -r mlcr_stat <"/proc/$1/stat"; } 2>/dev/null || [ -n "$mlcr_stat" ] || return 1
    # The command's name, in parentheses, may hold spaces; fields are counted after it.
    # shellcheck disable=SC2086
    set -- ${mlcr_stat##*) }
    [ "$1" != Z ] || return 1
    mlcr_ticks=${20}
}

# mlcr_read_node: set mlcr_node to the machine's name, to tell machines apart that share a home.
mlcr_read_node() {
    mlcr_node=unknown
    [ ! -r /proc/sys/kernel/hostname ] || read -r mlcr_node </proc/sys/kernel/hostname
}

# mlcr_identify_process PID...: set mlcr_named to what names the first of these processes that can be seen,
# for ever: "BOOT PID STARTTIME NODE".
mlcr_identify_process() {
    for mlcr_pid in "$@"; do
        ! mlcr_read_start_time "$mlcr_pid" || break
    done
    mlcr_read_boot_id
    mlcr_read_node
    mlcr_process_identity="$mlcr_this_boot_id $mlcr_pid ${mlcr_ticks:--} $mlcr_node"
}

# mlcr_is_process_alive BOOT PID STARTTIME [NODE]: whether that process still runs.
mlcr_is_process_alive() {
    mlcr_read_boot_id
    [ "$1" = "$mlcr_this_boot_id" ] && mlcr_read_start_time "$2" && [ "$mlcr_ticks" = "$3" ]
}
