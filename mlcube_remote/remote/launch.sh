# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Claiming, starting and following jobs. A job is a directory:
#
#   request           what it is, as JSON of the client's, which the host does not read
#   preparing         "BOOT PID STARTTIME NODE" of the connection whose client makes it ready
#   supervise         the supervisor's own text
#   owner             "BOOT PID STARTTIME NODE" of the supervisor
#   gpus              UUIDs of the GPUs that are leased to it
#   stop              exists once somebody asked for the job to stop
#   launching         exists once a client has begun to launch it
#   secrets           exists where the tasks need variables that are written nowhere
#   log-limit         bytes that each log may take; 0: any number
#   tasks/N/command   shell text that makes the Nth task's command the positional parameters
#   tasks/N/name      the task's name
#   tasks/N/container name of its container; absent where the engine has none
#   tasks/N/cid       the container's id, written by the engine
#   tasks/N/engine    shell text that puts the engine's executable before them
#   tasks/N/own       shell text that makes what mlcr_chown_outputs is told afterwards the parameters; or absent
#   tasks/N/timeout   seconds that the task may take; absent: any number
#   tasks/N/stdout, stderr, started, finished, inspect
#   tasks/N/timedout, cut, degraded, restarted, removed  marks (cut.pending: none yet): what happened to the task or to its log
#   tasks/N/foreign   why what others own could not be given to the user
#   tasks/N/alive     a pipe that the supervisor holds open until the task has ended
#   tasks/N/out, err  pipes from the task to what keeps its logs
#   tasks/N/exit.CODE the end; exit.pending until then (a rename needs no free disk space)
#   tasks/N/inspect.STATUS,EXITCODE,OOMKILLED  stands in for inspect on a full disk

# mlcr_claim_job JOB REQUEST LOCK [GROUP]: claim JOB for the client at the other end of this
# connection, and LOCK for JOB (nothing: no lock), which jobs of GROUP share; tell whether the group
# kept it since its last job. Status 17: JOB was claimed before; 16: another job, which is told,
# holds LOCK, and JOB is not claimed.
mlcr_claim_job() {
    mkdir -m 0700 -- "$1" 2>/dev/null || {
        [ -d "$1" ] && return 17
        mkdir -m 0700 -- "$1"
        return 1
    }
    # The parent of the shell serves the connection and ends with it, whatever its sessions do; where
    # it is hidden, the shell itself must do.
    mlcr_identify_process "$PPID" $$
    # Nobody reads a request before it is said whose it is.
    if ! { printf '%s\n' "$2" >"$1/request" &&
        mlcr_write_atomically "$1/preparing" "$mlcr_process_identity"; }; then
        rm -rf -- "$1"
        return 1
    fi
    [ -n "$3" ] || return 0
    mlcr_acquire_lock "$3" "${1%/*}" "${1##*/}" "${4-}"
    mlcr_status=$?
    if [ $mlcr_status -eq 0 ]; then
        # shellcheck disable=SC2154 # mlcr_acquire_lock sets it
        mlcr_print_record kept "$mlcr_kept"
        return 0
    fi
    rm -rf -- "$1"
    [ $mlcr_status -ne 16 ] || mlcr_report_holder "${1%/*}/$mlcr_holder"
    return $mlcr_status
}

# mlcr_release_job JOB: forget a JOB that the client at the other end of this connection has claimed and
# will not launch, so that no list of jobs has it; status 17 where it was launched.
mlcr_release_job() {
    [ ! -d "$1/tasks" ] || return 17
    mlcr_withdraw_gpus "$1"
    rm -rf -- "$1"
}

# mlcr_write_task DIRECTORY NAME COMMAND ENGINE CONTAINER TIMEOUT OWN: write down a task.
mlcr_write_task() {
    printf '%s' "$2" >"$1/name" &&
        printf 'set -- %s\n' "$3" >"$1/command" &&
        printf 'set -- %s "$@"\n' "$4" >"$1/engine" &&
        : >"$1/stdout" &&
        : >"$1/stderr" &&
        : >"$1/exit.pending" &&
        : >"$1/inspect.pending" &&
        : >"$1/cut.pending" &&
        { [ -z "$5" ] || printf '%s' "$5" >"$1/container"; } &&
        { [ -z "$6" ] || printf '%s\n' "$6" >"$1/timeout"; } &&
        { [ -z "$7" ] || printf 'set -- %s\n' "$7" >"$1/own"; }
}

# mlcr_start_supervisor JOB [WORD...]: start the supervisor in a session of its own, so that nothing that
# happens to this login reaches it.
mlcr_start_supervisor() {
    if command -v setsid >/dev/null 2>&1; then
        setsid /bin/sh "$1/supervise" "$@" </dev/null >>"$1/supervise.log" 2>&1 &
    else
        (
            trap '' HUP
            exec /bin/sh "$1/supervise" "$@"
        ) </dev/null >>"$1/supervise.log" 2>&1 &
    fi
}

# mlcr_launch_job JOB SUPERVISOR LOG_LIMIT SECRETS EXPECTED [NAME COMMAND ENGINE CONTAINER TIMEOUT OWN]...:
# make what the tasks of a claimed JOB expect, write them down and start it, once: status 17 when that
# was done before, 18 when what they expect cannot be made. Nothing runs unless all of it could be
# written. SECRETS: "yes" where the tasks need variables that this call brings. EXPECTED: the words
# of mlcr_prepare_paths, quoted by the client.
mlcr_launch_job() {
    ! mlcr_is_launched "$1" || return 17
    (eval "mlcr_prepare_paths $5") || return 18
    mlcr_job_directory=$1
    # Of two that come here at once one makes the file; a directory would cost a process more.
    mlcr_error=$(
        exec 2>&1
        set -C
        : >"$1/launching"
    ) || {
        ! mlcr_is_launched "$1" || return 17
        printf '%s\n' "$mlcr_error" >&2
        return 1
    }
    if ! mlcr_write_tasks "$@"; then
        rm -rf -- "$mlcr_job_directory/tasks.new" "$mlcr_job_directory/launching"
        return 1
    fi
    mlcr_refresh_announcements "$mlcr_job_directory"
    mlcr_start_supervisor "$mlcr_job_directory"
}

# mlcr_is_launched JOB: whether JOB was launched, or is being.
mlcr_is_launched() {
    [ -d "$1/tasks" ] || [ -e "$1/launching" ]
}

mlcr_write_tasks() {
    printf '%s' "$2" >"$1/supervise" && printf '%s\n' "$3" >"$1/log-limit" || return 1
    [ "$4" != yes ] || : >"$1/secrets" || return 1
    shift 5
    mlcr_make_task_directories "$mlcr_job_directory" $(($# / 6)) || return 1
    mlcr_count=0
    while [ $# -ge 6 ]; do
        mlcr_count=$((mlcr_count + 1))
        mlcr_write_task "$mlcr_job_directory/tasks.new/$mlcr_count" "$1" "$2" "$3" "$4" "$5" "$6" || return 1
        shift 6
    done
    mv -- "$mlcr_job_directory/tasks.new" "$mlcr_job_directory/tasks"
}

# mlcr_make_task_directories JOB COUNT: make the directories and the pipes of COUNT tasks.
mlcr_make_task_directories() (
    cd -- "$1" || exit 1
    mlcr_folders=tasks.new
    mlcr_pipes=
    mlcr_number=0
    while [ $mlcr_number -lt "$2" ]; do
        mlcr_number=$((mlcr_number + 1))
        mlcr_folders="$mlcr_folders tasks.new/$mlcr_number"
        for mlcr_pipe in alive out err; do
            mlcr_pipes="$mlcr_pipes tasks.new/$mlcr_number/$mlcr_pipe"
        done
    done
    # shellcheck disable=SC2086 # words
    mkdir -- $mlcr_folders && mkfifo -m 0600 -- $mlcr_pipes
)

# mlcr_adopt_task JOB N: give the Nth task, whose supervisor died, another one; once for each that died,
# and once more where that one did not come to say its name within a minute.
mlcr_adopt_task() {
    ! mlcr_is_supervisor_alive "$1" || return 0
    # The pid is that of the one that was seen dead: by now the file may name its successor.
    mlcr_adoption=$1/adopted.$mlcr_pid
    mlcr_try=1
    while [ -d "$mlcr_adoption.$mlcr_try" ]; do
        [ -n "$(find "$mlcr_adoption.$mlcr_try" -prune -mmin +1)" ] || return 0
        mlcr_try=$((mlcr_try + 1))
    done
    mkdir -- "$mlcr_adoption.$mlcr_try" 2>/dev/null || return 0
    mlcr_start_supervisor "$1" adopt "$2"
}
