# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Ending tasks before their time.

# mlcr_stop JOB GRACE: ask the job to stop: SIGTERM to what runs, SIGKILL after GRACE seconds.
# The supervisor starts no further task once the mark is there. Calling it again does no harm.
mlcr_stop() {
    case $(mlcr_state "$1") in
    preparing | running | orphaned) ;;
    elsewhere)
        # Nothing of it is within reach, and its supervisor looks for a mark only between tasks.
        mlcr_tell_node "$1"
        return 0
        ;;
    *)
        mlcr_fact stopped nothing
        return 0
        ;;
    esac
    : >"$1/stop" || return 1
    mlcr_fact stopped yes
    for mlcr_dir in "$1"/tasks/*; do
        mlcr_begun "$mlcr_dir" || continue
        mlcr_end_task "$mlcr_dir" "$2"
        return
    done
}

# mlcr_begun DIRECTORY: whether the task was begun and has not ended. On a full disk nobody could
# write down when it was.
mlcr_begun() {
    ! mlcr_ended "$1" && { [ -e "$1/started" ] || [ -s "$1/cid" ] || [ -s "$1/group" ]; }
}

# mlcr_end_task DIRECTORY GRACE: end the task that runs. Its container is the one that the engine
# itself wrote down for it, never one that merely has its name.
mlcr_end_task() {
    if [ -e "$1/container" ]; then
        mlcr_await_id "$1" || return 1
        mlcr_engine_of "$1" stop -t "$2" -- "$(mlcr_line "$1/cid")" >/dev/null
    elif [ -s "$1/group" ]; then
        mlcr_end_group "$1" "$2"
    fi
}

# mlcr_engine_of DIRECTORY WORD...: run the task's engine with these words.
mlcr_engine_of() (
    mlcr_dir=$1
    shift
    # shellcheck disable=SC1091 # made by mlcr_task
    . "$mlcr_dir/engine"
    exec "$@"
)

# mlcr_await_id DIRECTORY: wait until the engine has told the container's id, or the task ended.
mlcr_await_id() {
    mlcr_waited=0
    until [ -s "$1/cid" ] || mlcr_ended "$1"; do
        [ $mlcr_waited -lt 30 ] || return 1
        mlcr_waited=$((mlcr_waited + 1))
        sleep 1
    done
    [ -s "$1/cid" ]
}

# mlcr_end_group DIRECTORY GRACE: end the process group of an engine without containers of its own
# (Singularity), the gentle way first.
mlcr_end_group() {
    read -r mlcr_group <"$1/group"
    kill -TERM "-$mlcr_group" 2>/dev/null || return 0
    mlcr_waited=0
    while kill -0 "-$mlcr_group" 2>/dev/null; do
        [ $mlcr_waited -lt "$2" ] || {
            kill -KILL "-$mlcr_group" 2>/dev/null
            return 0
        }
        mlcr_waited=$((mlcr_waited + 1))
        sleep 1
    done
}
