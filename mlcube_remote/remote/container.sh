# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# The container of one task: find it by its labels, ask for its state, run the task's engine on it.
# Used by job_state.sh, stop.sh, clean.sh and the supervisor.

# mlcr_print_container_state DIRECTORY: print what is left of a task: "STATUS EXITCODE OOMKILLED" of
# its container (or of its process group, if the engine has no containers), "absent", or "unknown"
# if the engine does not answer.
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
    # Podman under the name "docker" may print a notice before each answer, to standard error.
    if mlcr_answer=$(mlcr_print_inspected_state "$1" 2>/dev/null); then
        printf '%s\n' "$mlcr_answer"
        return 0
    fi
    case $(mlcr_print_inspected_state "$1" 2>&1) in
    *[Nn]'o such '*)
        # The engine's client survives its supervisor, and may be about to create the container.
        if [ -s "$1/cid" ] || { [ -n "$(find "$1/started" -mmin +1 2>/dev/null)" ] &&
            ! mlcr_is_client_alive "$1"; }; then
            echo absent
        else
            echo unknown
        fi
        ;;
    *) echo unknown ;;
    esac
}

# mlcr_print_inspected_state DIRECTORY: print "STATUS EXITCODE OOMKILLED ERROR" of a task's container.
mlcr_print_inspected_state() {
    mlcr_task_job=${1%/tasks/*}
    mlcr_save_container_id "$1" "${mlcr_task_job##*/}" &&
        mlcr_inspect_container "$1" \
            '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}'
}

# mlcr_is_client_alive DIRECTORY: whether the engine's client that runs the task is running.
mlcr_is_client_alive() {
    [ -s "$1/client" ] && read -r mlcr_pid <"$1/client" && mlcr_read_start_time "$mlcr_pid"
}

# mlcr_save_container_id DIRECTORY JOB: write the id of the task's container to a file, unless the
# engine did.
mlcr_save_container_id() {
    [ ! -s "$1/cid" ] || return 0
    mlcr_found=$(mlcr_find_container_id "$1" "$2") && mlcr_write_atomically "$1/cid" "$mlcr_found"
}

# mlcr_inspect_container DIRECTORY FORMAT: print what the engine reports of the task's container.
mlcr_inspect_container() (
    mlcr_dir=$1
    mlcr_format=$2
    mlcr_file=cid
    # A supervisor that is killed at the wrong moment leaves a container without an id file.
    [ -s "$mlcr_dir/cid" ] || mlcr_file=container
    set -- inspect --type container --format "$mlcr_format" \
        -- "$(mlcr_print_line "$mlcr_dir/$mlcr_file")"
    mlcr_ask_engine "$mlcr_dir" "$@"
)

# mlcr_find_container_id DIRECTORY JOB: print the id of the task's container, if its labels match
# the run of the job and this user; a container with merely the same name does not count.
mlcr_find_container_id() (
    mlcr_job=$2
    mlcr_label='index .Config.Labels "org.mlcommons.mlcube-remote'
    mlcr_answer=$(mlcr_inspect_container "$1" \
        "{{.Id}} {{$mlcr_label.run\"}} {{$mlcr_label.owner\"}}") || return 1
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

# mlcr_wait_for_container_id DIRECTORY: wait a moment until the engine has written the container's
# id, or the task has ended; then look for the container by its name.
mlcr_wait_for_container_id() {
    mlcr_waited_s=0
    until [ -s "$1/cid" ] || mlcr_has_ended "$1" || [ $mlcr_waited_s -ge "${mlcr_patience_s:-5}" ]; do
        mlcr_waited_s=$((mlcr_waited_s + 1))
        sleep 1
    done
    ! mlcr_has_ended "$1" || return 1
    mlcr_task_job=${1%/tasks/*}
    mlcr_timeout_s=${mlcr_patience_s:-5}
    mlcr_save_container_id "$1" "${mlcr_task_job##*/}" 2>/dev/null
}

# mlcr_run_engine DIRECTORY WORD...: run the task's engine with these arguments.
mlcr_run_engine() (
    mlcr_dir=$1
    shift
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$mlcr_dir/engine"
    exec "$@"
)

# mlcr_ask_engine DIRECTORY WORD...: run the task's engine with these arguments; kill it if it does
# not answer.
mlcr_ask_engine() (
    mlcr_dir=$1
    shift
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$mlcr_dir/engine"
    # A client that hangs may ignore SIGTERM.
    mlcr_limit_signal=KILL
    mlcr_run_limited "${mlcr_timeout_s:-30}" "$@"
)

# mlcr_remove_container DIRECTORY JOB: remove the container of a task, if it exists and is the
# job's.
mlcr_remove_container() (
    mlcr_id=$(mlcr_find_container_id "$1" "$2" 2>/dev/null) || return 0
    mlcr_timeout_s=60
    mlcr_ask_engine "$1" rm --force -- "$mlcr_id" >/dev/null 2>&1
)
