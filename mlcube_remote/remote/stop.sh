# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Stop tasks. Called by jobs/ for "stop", and by the supervisor when a task reaches its time limit.

# mlcr_stop_job JOB GRACE: stop the job: send SIGTERM to what runs, and SIGKILL after GRACE seconds.
# Once the file "stop" exists, the supervisor starts no further task. A second call does no harm.
mlcr_stop_job() {
    case $(mlcr_print_job_state "$1") in
    preparing | queued | running | orphaned | unknown) ;;
    elsewhere)
        # Its processes run on the other machine; the supervisor reads "stop" only between tasks.
        mlcr_report_node "$1"
        return 0
        ;;
    *)
        mlcr_print_record stopped nothing
        return 0
        ;;
    esac
    true >"$1/stop" || return 1
    mlcr_print_record stopped yes
    if [ -e "$1/scheduler" ] && [ -d "$1/tasks" ]; then
        /bin/sh "$1/scheduler" stop "$1" "$2"
        return
    fi
    for mlcr_dir in "$1"/tasks/*; do
        mlcr_is_task_running "$mlcr_dir" || continue
        mlcr_stop_task "$mlcr_dir" "$2"
        return
    done
}

# mlcr_is_task_running DIRECTORY: whether the task has started and not ended. On a full disk the
# file "started" may be missing.
mlcr_is_task_running() {
    ! mlcr_has_ended "$1" && { [ -e "$1/started" ] || [ -s "$1/cid" ] || [ -s "$1/group" ]; }
}

# mlcr_is_told_to_end DIRECTORY: whether the task was stopped, or has reached its time limit.
mlcr_is_told_to_end() {
    [ -e "${1%/tasks/*}/stop" ] || [ -e "$1/timedout" ]
}

# mlcr_stop_task DIRECTORY GRACE: stop the running task. The container is the one whose id the
# engine wrote for the task, or that has its name and its labels, never one that merely has the name.
# Without a container, the engine's client is stopped.
mlcr_stop_task() {
    if [ ! -e "$1/container" ]; then
        [ ! -s "$1/group" ] || mlcr_stop_group "$1" group "$2"
    elif mlcr_wait_for_container_id "$1"; then
        mlcr_timeout_s=$(($2 + 30))
        mlcr_ask_engine "$1" stop -t "$2" -- "$(mlcr_print_line "$1/cid")" >/dev/null
    elif ! mlcr_has_ended "$1"; then
        mlcr_stop_client "$1"
    fi
}

# mlcr_stop_client DIRECTORY: stop the engine's client, which hangs, and remove the container if the
# engine has made one meanwhile. The supervisor looks again later.
mlcr_stop_client() {
    [ -s "$1/client" ] || return 1
    true >"$1/hung"
    mlcr_stop_group "$1" client "${mlcr_patience_s:-5}"
    mlcr_stopped_job=${1%/tasks/*}
    mlcr_timeout_s=${mlcr_patience_s:-5}
    mlcr_remove_container "$1" "${mlcr_stopped_job##*/}"
}

# mlcr_stop_group DIRECTORY FILE GRACE: stop the process group that FILE of the task names, with all
# processes of a task whose engine has no containers (Singularity), or of an engine's client: SIGTERM
# first, then SIGKILL.
mlcr_stop_group() {
    read -r mlcr_group <"$1/$2"
    mlcr_terminate_group "$1" || return 0
    mlcr_waited_s=0
    while mlcr_signal_group "$1" 0; do
        [ $mlcr_waited_s -lt "$3" ] || {
            mlcr_signal_group "$1" KILL
            return 0
        }
        mlcr_waited_s=$((mlcr_waited_s + 1))
        sleep 1
    done
}

# mlcr_terminate_group DIRECTORY: send SIGTERM to each process of process group mlcr_group once. The
# processes of Singularity and Apptainer themselves forward a signal to the task, which would get it a
# second time while it saves its work; they get it only if there is no other process.
mlcr_terminate_group() {
    mlcr_members=
    mlcr_forwards=
    for mlcr_entry in /proc/[0-9]*; do
        mlcr_pid=${mlcr_entry#/proc/}
        mlcr_read_start_time "$mlcr_pid" || continue
        # shellcheck disable=SC2086 # words; the line is what mlcr_read_start_time read
        set -- "$1" ${mlcr_stat##*) }
        [ "$4" = "$mlcr_group" ] || continue
        case ${mlcr_stat%) *} in
        *'(starter' | *'(starter-suid' | *'(appinit' | *'(sinit') mlcr_forwards=yes ;;
        *) mlcr_members="$mlcr_members $mlcr_pid" ;;
        esac
    done
    if [ -z "$mlcr_forwards" ]; then
        # This also reaches what was started meanwhile.
        mlcr_signal_group "$1" TERM
        return
    fi
    mlcr_has_signalled=
    for mlcr_pid in $mlcr_members; do
        ! kill -TERM "$mlcr_pid" 2>/dev/null || mlcr_has_signalled=yes
    done
    [ -n "$mlcr_has_signalled" ] || mlcr_signal_group "$1" TERM
}

# mlcr_signal_group DIRECTORY SIGNAL: send a signal to process group mlcr_group. A client that runs
# under sudo belongs to root.
mlcr_signal_group() {
    ! kill -"$2" "-$mlcr_group" 2>/dev/null || return 0
    [ -d "/proc/$mlcr_group" ] || return 1
    (
        mlcr_signal=$2
        # shellcheck disable=SC1091 # made by mlcr_write_task
        . "$1/engine"
        [ "$1" = sudo ] && exec sudo -n kill -"$mlcr_signal" -- "-$mlcr_group"
    ) >/dev/null 2>&1
}
