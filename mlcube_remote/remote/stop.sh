# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Stop tasks. Called by jobs/ for "stop", and by the supervisor when a task reaches its time limit.

# mlcr_stop_job JOB GRACE: stop the job: send SIGTERM to what runs, and SIGKILL after GRACE seconds.
# Once the file "stop" exists, the supervisor starts no further task. A second call does no harm.
mlcr_stop_job() {
    case $(mlcr_print_job_state "$1") in
    preparing | running | orphaned) ;;
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
    : >"$1/stop" || return 1
    mlcr_print_record stopped yes
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

# mlcr_stop_task DIRECTORY GRACE: stop the running task. The container is the one whose id the
# engine wrote for the task, never one that merely has the same name.
mlcr_stop_task() {
    if [ -e "$1/container" ]; then
        mlcr_wait_for_container_id "$1" || return 1
        mlcr_run_engine "$1" stop -t "$2" -- "$(mlcr_print_line "$1/cid")" >/dev/null
    elif [ -s "$1/group" ]; then
        mlcr_stop_group "$1" "$2"
    fi
}

# mlcr_stop_group DIRECTORY GRACE: stop the process group of a task whose engine has no containers
# (Singularity): SIGTERM first, then SIGKILL.
mlcr_stop_group() {
    read -r mlcr_group <"$1/group"
    kill -TERM "-$mlcr_group" 2>/dev/null || return 0
    mlcr_waited_s=0
    while kill -0 "-$mlcr_group" 2>/dev/null; do
        [ $mlcr_waited_s -lt "$2" ] || {
            kill -KILL "-$mlcr_group" 2>/dev/null
            return 0
        }
        mlcr_waited_s=$((mlcr_waited_s + 1))
        sleep 1
    done
}
