# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Identify processes and machines. Pids are reused, so an identity includes the boot and start time.

# mlcr_read_boot_id: set mlcr_this_boot_id to the kernel's id of this boot. Tests replace it with a
# file in the home, because their hosts are containers that share one kernel.
mlcr_read_boot_id() {
    mlcr_this_boot_id=unknown
    if [ -r "$HOME/.mlcube-remote-boot-id" ]; then
        read -r mlcr_this_boot_id <"$HOME/.mlcube-remote-boot-id"
    elif [ -r /proc/sys/kernel/random/boot_id ]; then
        read -r mlcr_this_boot_id </proc/sys/kernel/random/boot_id
    fi
}

# mlcr_print_boot_id: print the id of this boot.
mlcr_print_boot_id() {
    mlcr_read_boot_id
    printf '%s' "$mlcr_this_boot_id"
}

# mlcr_read_start_time PID: set mlcr_ticks to the start time of the process, in clock ticks since
# the boot; fail if it does not exist or is a zombie.
mlcr_read_start_time() {
    mlcr_ticks=
    mlcr_stat=
    while read -r mlcr_line || [ -n "$mlcr_line" ]; do
        mlcr_stat=$mlcr_line
    done 2>/dev/null <"/proc/$1/stat"
    [ -n "$mlcr_stat" ] || return 1
    # The command name, in parentheses, may contain spaces and newlines; count the fields after it.
    # shellcheck disable=SC2086
    set -- ${mlcr_stat##*) }
    [ "$1" != Z ] || return 1
    mlcr_ticks=${20}
}

# mlcr_read_node: set mlcr_node to the host name, which differs between machines that share a home.
mlcr_read_node() {
    mlcr_node=unknown
    [ ! -r /proc/sys/kernel/hostname ] || read -r mlcr_node </proc/sys/kernel/hostname
}

# mlcr_identify_process PID...: set mlcr_process_identity to "BOOT PID STARTTIME NODE" of the first
# of these processes that is visible; no other process ever has the same identity.
mlcr_identify_process() {
    for mlcr_pid in "$@"; do
        ! mlcr_read_start_time "$mlcr_pid" || break
    done
    mlcr_read_boot_id
    mlcr_read_node
    mlcr_process_identity="$mlcr_this_boot_id $mlcr_pid ${mlcr_ticks:--} $mlcr_node"
}

# mlcr_is_process_alive BOOT PID STARTTIME [NODE]: whether that process is still running.
mlcr_is_process_alive() {
    mlcr_read_boot_id
    [ "$1" = "$mlcr_this_boot_id" ] && mlcr_read_start_time "$2" && [ "$mlcr_ticks" = "$3" ]
}
