# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Ending tasks before their time.

# mlcr_stop_job JOB GRACE: ask the job to stop: SIGTERM to what runs, SIGKILL after GRACE seconds.
# The supervisor starts no further task once the mark is there. Calling it again does no harm.
mlcr_stop_job() {
    case $(mlcr_print_job_state "$1") in
    preparing | running | orphaned) ;;
    elsewhere)
        # Nothing of it is within reach, and its supervisor looks for a mark only between tasks.
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

# mlcr_is_task_running DIRECTORY: whether the task was begun and has not ended. On a full disk nobody could
# write down when it was.
mlcr_is_task_running() {
    ! mlcr_has_ended "$1" && { [ -e "$1/started" ] || [ -s "$1/cid" ] || [ -s "$1/group" ]; }
}

# mlcr_stop_task DIRECTORY GRACE: end the task that runs. Its container is the one that the engine
# itself wrote down for it, never one that merely has its name.
mlcr_stop_task() {
    if [ -e "$1/container" ]; then
        mlcr_wait_for_container_id "$1" || return 1
        mlcr_run_engine "$1" stop -t "$2" -- "$(mlcr_print_line "$1/cid")" >/dev/null
    elif [ -s "$1/group" ]; then
        mlcr_stop_group "$1" "$2"
    fi
}

# mlcr_stop_group DIRECTORY GRACE: end the process group of an engine without containers of its own
# (Singularity), the gentle way first.
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
