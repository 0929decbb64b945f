# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
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

# mlcr_print_container_state DIRECTORY: print what is left of a task without a supervisor: the container's
# "STATUS EXITCODE OOMKILLED", "absent", or "unknown" where the engine does not answer.
mlcr_print_container_state() {
    if [ ! -e "$1/container" ]; then
        mlcr_group=
        [ ! -s "$1/group" ] || read -r mlcr_group <"$1/group"
        if [ -n "$mlcr_group" ] && kill -0 "-$mlcr_group" 2>/dev/null; then
            echo 'running 0 false'
        else
            echo absent
        fi
        return 0
    fi
    mlcr_task_job=${1%/tasks/*}
    if mlcr_answer=$(
        exec 2>&1
        mlcr_save_container_id "$1" "${mlcr_task_job##*/}" &&
            mlcr_inspect_container "$1" \
                '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}'
    ); then
        printf '%s\n' "$mlcr_answer"
        return 0
    fi
    case $mlcr_answer in
    *[Nn]'o such '*)
        # The engine's client lives on without its supervisor, and may be about to make it.
        if [ -s "$1/cid" ] || [ -n "$(find "$1/started" -mmin +1 2>/dev/null)" ]; then
            echo absent
        else
            echo unknown
        fi
        ;;
    *) echo unknown ;;
    esac
}

# mlcr_save_container_id DIRECTORY JOB: write down the id of the task's container if nobody has.
mlcr_save_container_id() {
    [ ! -s "$1/cid" ] || return 0
    mlcr_found=$(mlcr_find_container_id "$1" "$2") && mlcr_write_atomically "$1/cid" "$mlcr_found"
}

# mlcr_inspect_container DIRECTORY FORMAT: print what the engine knows of the task's container.
mlcr_inspect_container() (
    mlcr_dir=$1
    mlcr_format=$2
    mlcr_file=cid
    # Killed in the wrong moment, the supervisor leaves a container whose id nobody kept.
    [ -s "$mlcr_dir/cid" ] || mlcr_file=container
    set -- inspect --type container --format "$mlcr_format" -- "$(mlcr_print_line "$mlcr_dir/$mlcr_file")"
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$mlcr_dir/engine"
    mlcr_run_limited "${mlcr_timeout_s:-30}" "$@"
)

# mlcr_find_container_id DIRECTORY JOB: print the id of the task's container if its labels say that it is of
# this job's run, and of this user; what merely has its name is as good as none.
mlcr_find_container_id() (
    mlcr_job=$2
    mlcr_label=org.mlcommons.mlcube-remote
    mlcr_answer=$(mlcr_inspect_container "$1" \
        "{{.Id}} {{index .Config.Labels \"$mlcr_label.run\"}} {{index .Config.Labels \"$mlcr_label.owner\"}}") ||
        return 1
    mlcr_read_user
    # shellcheck disable=SC2086 # words
    set -- $mlcr_answer
    if [ $# -eq 3 ] && [ "$3" = "$mlcr_uid" ]; then
        case $mlcr_job in
        "$2"-*)
            printf '%s' "$1"
            return 0
            ;;
        esac
    fi
    echo 'No such container of this job' >&2
    return 1
)

# mlcr_report_task JOB N: print how the Nth task stands: its exit code ("pending" while it runs),
# whether the supervisor lives, the sizes of its logs, its times and the engine's own account.
mlcr_report_task() {
    mlcr_dir=$1/tasks/$2
    mlcr_read_exit "$mlcr_dir"
    mlcr_print_record exit "$mlcr_exit"
    # Only for a task that has not ended does it matter.
    if [ "$mlcr_exit" != pending ] || mlcr_is_supervisor_alive "$1"; then
        mlcr_print_record alive yes
    else
        mlcr_print_record alive no
        mlcr_report_unsupervised_task "$1"
    fi
    wc -c "$mlcr_dir/stdout" "$mlcr_dir/stderr" | {
        read -r mlcr_log_size _
        mlcr_print_record stdout "$mlcr_log_size"
        read -r mlcr_log_size _
        mlcr_print_record stderr "$mlcr_log_size"
    }
    for mlcr_item in started finished inspect; do
        [ ! -s "$mlcr_dir/$mlcr_item" ] || mlcr_print_record "$mlcr_item" "$(mlcr_print_line "$mlcr_dir/$mlcr_item")"
    done
    for mlcr_file_name in "$mlcr_dir"/inspect.*,*,*; do
        [ ! -e "$mlcr_file_name" ] || mlcr_print_record inspect "$(mlcr_split_commas "${mlcr_file_name##*/inspect.}")"
    done
    case $mlcr_exit in
    0 | pending) ;;
    # An engine that starts nothing says why where the task would have written.
    *) mlcr_print_record tail "$(tail -c 4096 -- "$mlcr_dir/stderr" | tr -d '\000')" ;;
    esac
    [ ! -e "$1/stop" ] || mlcr_print_record stop yes
    [ ! -e "$mlcr_dir/timedout" ] || mlcr_print_record timedout yes
    [ ! -e "$mlcr_dir/cut" ] || mlcr_print_record cut yes
    [ ! -e "$mlcr_dir/degraded" ] || mlcr_print_record log degraded
    [ ! -e "$mlcr_dir/foreign" ] || mlcr_print_record foreign "$(mlcr_print_line "$mlcr_dir/foreign")"
    [ ! -e "$mlcr_dir/removed" ] || mlcr_print_record container absent
    [ ! -e "$mlcr_dir/restarted" ] || mlcr_print_record engine restarted
}

# mlcr_split_commas LIST: print what stands between commas.
mlcr_split_commas() (
    IFS=,
    # shellcheck disable=SC2086 # words
    set -- $1
    IFS=' '
    printf '%s ' "$@"
)

mlcr_report_unsupervised_task() {
    if mlcr_is_on_other_node "$1/owner"; then
        mlcr_print_record node "$mlcr_other_node"
    elif [ -n "$mlcr_boot_id" ] && mlcr_read_boot_id && [ "$mlcr_boot_id" != "$mlcr_this_boot_id" ]; then
        mlcr_print_record boot changed
    elif [ -e "$mlcr_dir/started" ]; then
        mlcr_print_record container "$(mlcr_print_container_state "$mlcr_dir")"
    fi
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

# mlcr_report_jobs ROOT [all]: tell of each job below ROOT; without "all" not of those that have ended.
mlcr_report_jobs() {
    mlcr_jobs=$(mlcr_expand_home "$1")/jobs
    # By the clock of the disk, which may be another machine's, as the times of the files are.
    mlcr_now=$(touch "$mlcr_jobs/.now" 2>/dev/null && stat -c %Y -- "$mlcr_jobs/.now" 2>/dev/null) ||
        mlcr_now=$(date +%s)
    # An engine that hangs is waited for once for each job that only it could tell of.
    mlcr_timeout_s=5
    for mlcr_job in "$mlcr_jobs"/*; do
        [ -d "$mlcr_job" ] || continue
        mlcr_answer=$(mlcr_print_job_state "$mlcr_job")
        [ "$mlcr_answer" != ended ] || [ -n "${2-}" ] || continue
        mlcr_print_record job "${mlcr_job##*/}"
        mlcr_print_record state "$mlcr_answer"
        [ ! -e "$mlcr_job/stop" ] || mlcr_print_record stop yes
        mlcr_claimed_at=$(stat -c %Y -- "$mlcr_job/request" 2>/dev/null) || mlcr_claimed_at=$mlcr_now
        mlcr_print_record age $((mlcr_now - mlcr_claimed_at))
        [ ! -s "$mlcr_job/preparing" ] || mlcr_print_record request "$(mlcr_print_line "$mlcr_job/request")"
        mlcr_report_tasks "$mlcr_job"
    done
}

mlcr_report_tasks() {
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        mlcr_print_record task "$(mlcr_print_line "$mlcr_dir/name")"
        mlcr_print_record exit "$mlcr_exit"
        for mlcr_item in started finished; do
            [ ! -s "$mlcr_dir/$mlcr_item" ] ||
                mlcr_print_record "$mlcr_item" "$(mlcr_print_line "$mlcr_dir/$mlcr_item")"
        done
        case $mlcr_exit in
        0 | pending) ;;
        *) mlcr_report_killed "$mlcr_dir" ;;
        esac
        mlcr_number=$((mlcr_number + 1))
    done
}

# mlcr_report_killed DIRECTORY: tell what ended a task, with mlcr_exit, if that was not the task itself.
mlcr_report_killed() {
    mlcr_code=
    mlcr_oom=
    [ ! -s "$1/inspect" ] || read -r _ mlcr_code mlcr_oom _ <"$1/inspect"
    for mlcr_file_name in "$1"/inspect.*,137,true; do
        [ ! -e "$mlcr_file_name" ] || mlcr_code=137 mlcr_oom=true
    done
    if [ -e "$1/timedout" ]; then
        mlcr_print_record killed time
    elif [ "$mlcr_code $mlcr_oom" = '137 true' ]; then
        mlcr_print_record killed memory
    elif [ -e "$1/restarted" ]; then
        case ${mlcr_code:-137} in 137 | 143) mlcr_print_record killed engine ;; esac
    fi
}
