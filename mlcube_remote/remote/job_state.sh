# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# How jobs stand. What cannot be known is said so, and never guessed.

# mlcr_is_supervisor_alive JOB: whether the supervisor of JOB, mlcr_pid, still runs. One that was launched and has not said
# its name yet counts as alive for as long as it may take to start.
mlcr_is_supervisor_alive() {
    mlcr_pid=none
    if [ ! -s "$1/owner" ]; then
        [ -z "$(find "$1/tasks" -prune -mmin +1 2>/dev/null)" ]
        return
    fi
    read -r mlcr_boot_id mlcr_pid mlcr_start_time _ <"$1/owner"
    mlcr_is_process_alive "$mlcr_boot_id" "$mlcr_pid" "$mlcr_start_time"
}

# mlcr_is_on_other_node FILE: whether the process that FILE names is of another machine, mlcr_where, which
# shares this home; mlcr_print_boot_id is its boot.
mlcr_is_on_other_node() {
    mlcr_boot_id=
    mlcr_other_node=
    [ -s "$1" ] || return 1
    read -r mlcr_boot_id _ _ mlcr_other_node <"$1"
    [ -n "$mlcr_other_node" ] && mlcr_read_node && [ "$mlcr_other_node" != "$mlcr_node" ]
}

# mlcr_find_current_task JOB: set mlcr_dir to the first task that has not ended well, mlcr_exit to its exit
# code or "pending"; nothing when all have ended well.
mlcr_find_current_task() {
    mlcr_dir=
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        [ "$mlcr_exit" = 0 ] || return 0
        mlcr_number=$((mlcr_number + 1))
    done
    mlcr_dir=
}

mlcr_read_exit() {
    for mlcr_exit in "$1"/exit.*; do
        mlcr_exit=${mlcr_exit##*/exit.}
    done
}

# mlcr_has_ended DIRECTORY: whether the task of DIRECTORY has ended.
mlcr_has_ended() {
    [ ! -e "$1/exit.pending" ]
}

# mlcr_print_job_state JOB: print how the job stands:
#
#   absent     there is none
#   preparing  claimed by a client that is still connected
#   abandoned  claimed by a client that vanished before it launched the job
#   running    its supervisor lives
#   orphaned   its supervisor died, its task lives: it can be adopted
#   ended      every task that was to run has ended
#   lost       it cannot be alive, and left no exit code
#   elsewhere  it runs on another machine that shares this home, which alone can say more
mlcr_print_job_state() {
    if [ ! -d "$1" ]; then
        echo absent
    elif [ ! -d "$1/tasks" ]; then
        mlcr_print_state_before_launch "$1"
    else
        mlcr_find_current_task "$1"
        if [ -z "$mlcr_dir" ] || [ "$mlcr_exit" != pending ]; then
            echo ended
        elif mlcr_is_supervisor_alive "$1"; then
            echo running
        else
            mlcr_print_state_unsupervised "$1"
        fi
    fi
}

# mlcr_print_state_before_launch JOB: the state of a job that was not launched yet.
mlcr_print_state_before_launch() {
    mlcr_other_node=
    [ ! -s "$1/preparing" ] || read -r mlcr_boot_id mlcr_pid mlcr_start_time mlcr_other_node <"$1/preparing"
    if [ -z "$mlcr_other_node" ]; then
        # Claimed a moment ago, or by a client that vanished in that moment.
        if [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ]; then echo preparing; else echo abandoned; fi
    elif mlcr_is_process_alive "$mlcr_boot_id" "$mlcr_pid" "$mlcr_start_time"; then
        echo preparing
    elif mlcr_read_node && [ "$mlcr_other_node" != "$mlcr_node" ]; then
        echo elsewhere
    else
        echo abandoned
    fi
}

# mlcr_print_state_unsupervised JOB: the state of a job whose supervisor is gone, at its task mlcr_dir.
mlcr_print_state_unsupervised() {
    if [ -e "$1/stop" ] && [ ! -e "$mlcr_dir/started" ]; then
        echo ended
    elif mlcr_is_on_other_node "$1/owner"; then
        echo elsewhere
    elif [ -n "$mlcr_other_node" ] && mlcr_read_boot_id && [ "$mlcr_boot_id" != "$mlcr_this_boot_id" ]; then
        echo lost
    else
        case $(mlcr_print_container_state "$mlcr_dir") in
        running* | exited* | dead* | created* | paused* | restarting* | unknown) echo orphaned ;;
        initialized* | stopping* | stopped*) echo orphaned ;; # Podman's
        *) echo lost ;;
        esac
    fi
}
