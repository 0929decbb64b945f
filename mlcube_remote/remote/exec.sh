# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Run a further command beside the running task of a job, in its container. Called by jobs/ for
# "exec" and "shell".

# mlcr_exec_in_job JOB TERMINAL WORD...: replace this shell by the command WORD... in the container
# of the job's running task. The command has the standard streams of this shell; TERMINAL is "yes"
# if they are a terminal. Status 125 with a message on stderr: there is no such container.
mlcr_exec_in_job() {
    if [ -e "$1/scheduler" ]; then
        exec /bin/sh "$1/scheduler" exec "$@"
    fi
    mlcr_enter_job "$@"
}

# mlcr_enter_job JOB TERMINAL WORD...: the same, on the machine on which the task runs.
mlcr_enter_job() {
    mlcr_exec_job=$1
    mlcr_terminal=$2
    shift 2
    for mlcr_dir in "$mlcr_exec_job"/tasks/*; do
        mlcr_is_task_running "$mlcr_dir" || continue
        if [ -e "$mlcr_dir/container" ]; then
            mlcr_exec_in_container "$@"
        else
            mlcr_exec_in_namespace "$@"
        fi
        return
    done
    echo 'no task of this job is running' >&2
    return 125
}

# mlcr_exec_in_container WORD...: run the command in the container of task mlcr_dir.
mlcr_exec_in_container() {
    if ! mlcr_save_container_id "$mlcr_dir" "${mlcr_exec_job##*/}"; then
        echo 'the container of the task cannot be found' >&2
        return 125
    fi
    set -- "$(mlcr_print_line "$mlcr_dir/cid")" "$@"
    if [ "$mlcr_terminal" = yes ]; then
        set -- exec --interactive --tty --env "TERM=${TERM:-dumb}" "$@"
    else
        set -- exec --interactive "$@"
    fi
    mlcr_run_engine "$mlcr_dir" "$@"
}

# mlcr_exec_in_namespace WORD...: run the command in the namespaces of task mlcr_dir, whose engine
# (Singularity, Apptainer) knows no containers. This works if the engine uses user namespaces, as it
# does without a setuid installation.
mlcr_exec_in_namespace() {
    if ! command -v nsenter >/dev/null 2>&1; then
        echo 'nsenter was not found on the host' >&2
        return 125
    fi
    [ ! -s "$mlcr_dir/group" ] || read -r mlcr_group <"$mlcr_dir/group"
    if ! mlcr_find_contained_process "$mlcr_group"; then
        echo 'the processes of the task cannot be found' >&2
        return 125
    fi
    mlcr_environment=$(mlcr_print_environment "$mlcr_contained")
    (
        umask 022
        mlcr_unset_environment
        eval "$mlcr_environment"
        exec "$mlcr_nsenter" --target "$mlcr_contained" --user --mount --preserve-credentials \
            --root --wd -- "$@"
    )
}

# mlcr_find_contained_process GROUP: set mlcr_contained to the last started process of a process
# group that has a mount namespace of its own; fail if there is none.
mlcr_find_contained_process() {
    mlcr_contained=
    mlcr_nsenter=$(command -v nsenter)
    mlcr_latest=-1
    mlcr_candidates=$(mlcr_list_contained_processes "$1")
    # A short process, such as the sleep of a loop, would be gone before it is entered.
    [ -z "$mlcr_candidates" ] || sleep 0.3 2>/dev/null || sleep 1
    for mlcr_candidate in $mlcr_candidates; do
        mlcr_read_start_time "${mlcr_candidate%:*}" || continue
        [ "$mlcr_ticks" = "${mlcr_candidate#*:}" ] && [ "$mlcr_ticks" -ge "$mlcr_latest" ] || continue
        mlcr_contained=${mlcr_candidate%:*}
        mlcr_latest=$mlcr_ticks
    done
    [ -n "$mlcr_contained" ]
}

# mlcr_list_contained_processes GROUP: print "PID:STARTTIME" of each process of a process group that
# has a mount namespace of its own.
mlcr_list_contained_processes() {
    mlcr_own_mounts=$(readlink /proc/self/ns/mnt)
    for mlcr_entry in /proc/[0-9]*; do
        mlcr_pid=${mlcr_entry#/proc/}
        mlcr_read_start_time "$mlcr_pid" || continue
        # shellcheck disable=SC2086 # words; the line is what mlcr_read_start_time read
        set -- "$1" ${mlcr_stat##*) }
        [ "$4" = "$1" ] || continue
        mlcr_mounts=$(readlink "$mlcr_entry/ns/mnt" 2>/dev/null) || continue
        [ "$mlcr_mounts" = "$mlcr_own_mounts" ] || printf '%s\n' "$mlcr_pid:$mlcr_ticks"
    done
}

# mlcr_print_environment PID: print shell text that exports the variables of a process.
mlcr_print_environment() {
    # A value may contain newlines; the byte 1 takes their place until each line is one variable.
    tr '\n\0' '\001\n' <"/proc/$1/environ" |
        sed -n "s/'/'\\\\''/g; s/^\\([A-Za-z_][A-Za-z0-9_]*\\)=\\(.*\\)\$/export \\1='\\2'/p" |
        tr '\001' '\n'
}

# mlcr_unset_environment: unset all exported variables but TERM; what remains is the task's.
mlcr_unset_environment() {
    for mlcr_variable in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
        case $mlcr_variable in
        TERM | mlcr_* | PPID) ;;
        *) unset "$mlcr_variable" 2>/dev/null || : ;;
        esac
    done
}
