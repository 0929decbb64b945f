# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Claim, launch and adopt jobs. Called by jobs/ and the pipeline in dispatch/. A job is a directory:
#
#   request           the client's description of the job, in JSON; the host does not read it
#   preparing         "BOOT PID STARTTIME NODE" of the connection whose client prepares the job
#   supervise         the text of the supervisor
#   scheduler, slurm/ the program that starts the supervisor, and its files: see slurm.sh; without
#                     them, the supervisor starts at once in a session of its own
#   owner             "BOOT PID STARTTIME NODE" of the supervisor
#   gpus              UUIDs of the GPUs that the job leased
#   stop              exists once a client asked the job to stop
#   launcher.PID      "BOOT PID STARTTIME NODE" of a shell that launches the job
#   launching         exists once a client started to launch the job
#   uses              the mirrors, data and images that it uses: see uses.sh
#   outputs, before, changed.I, stale
#                     which outputs the tasks make; see outputs.sh
#   secrets           exists if the tasks need variables that are stored in no file
#   log-limit         maximum size of each log in bytes; 0: unlimited
#   private/N         the home and the /tmp of the Nth task, if it has its own; removed at its end
#   tasks/N/command   shell text that sets the positional parameters to the command of the Nth task
#   tasks/N/name      the name of the task
#   tasks/N/container the name of its container; does not exist if the engine has no containers
#   tasks/N/cid       the id of the container, which the engine writes
#   tasks/N/engine    shell text that inserts the engine's executable before the parameters
#   tasks/N/own       shell text that sets the parameters of mlcr_chown_outputs; may not exist
#   tasks/N/begin, image, mounts, command.TYPES, own.TYPES, mounts.TYPES, refused, unsafe
#                     what is checked and decided when the task begins: see begin.sh
#   tasks/N/timeout   time limit, and the time from SIGTERM to SIGKILL, in seconds; does not exist:
#                     unlimited
#   tasks/N/stdout, stderr, inspect
#   tasks/N/stdout.writer, stderr.writer, order
#                     the order of what the task writes; see log_order.sh
#   tasks/N/started, finished
#                     times: a line with seconds since the epoch, one with nanoseconds or other text
#   tasks/N/client    process group of the engine's client
#   tasks/N/timedout, hung, cut, degraded, restarted, removed
#                     marks: what happened to the task or its log (cut.pending becomes cut)
#   tasks/N/unreturned
#                     "CODE REASON": the exit code of a task whose changes could not be copied back
#   tasks/N/foreign   why files of other users could not be given to the user
#   tasks/N/alive     a pipe that the supervisor holds open until the task has ended
#   tasks/N/out, err  pipes from the task to the processes that write its logs
#   tasks/N/exit.CODE the exit code; exit.pending until the end (a rename needs no disk space)
#   tasks/N/inspect.STATUS,EXITCODE,OOMKILLED  replaces inspect if the disk is full

# mlcr_claim_job JOB REQUEST LOCK [GROUP [OUTPUTS [USES]]]: claim JOB for the client of this
# connection, and acquire LOCK (empty: none) for JOB; jobs of GROUP share it. OUTPUTS: the words of the
# file "outputs"; USES: the arguments of mlcr_write_uses; both quoted by the client. Report whether
# GROUP kept the lock since its previous job. Status 17: JOB is already claimed. Status 16: another job
# holds LOCK; report that job, and do not claim JOB; or a client removes mirrors at this moment: report
# the state "cleaning".
mlcr_claim_job() {
    mkdir -m 0700 -- "$1" 2>/dev/null || {
        [ -d "$1" ] && return 17
        mkdir -m 0700 -- "$1"
        return 1
    }
    # The parent of the shell serves the whole connection, not only this session. On machines that
    # hide it, the shell itself is used.
    mlcr_identify_process "$PPID" $$
    # Other clients read "request" only if "preparing" exists.
    if ! { printf '%s\n' "$2" >"$1/request" &&
        { [ -z "${5-}" ] || printf 'set -- %s\n' "$5" >"$1/outputs"; } &&
        { [ -z "${6-}" ] || (eval "mlcr_write_uses \"\$1\" $6"); } &&
        mlcr_write_atomically "$1/preparing" "$mlcr_process_identity"; }; then
        rm -rf -- "$1"
        return 1
    fi
    # A client that starts to remove mirrors after this finds the job.
    if mlcr_is_being_cleaned "${1%/*/*}"; then
        rm -rf -- "$1"
        mlcr_print_record state cleaning
        return 16
    fi
    [ -n "$3" ] || return 0
    mlcr_acquire_lock "$3" "${1%/*}" "${1##*/}" "${4-}"
    mlcr_status=$?
    if [ $mlcr_status -eq 0 ]; then
        mlcr_print_record kept "$mlcr_kept"
        return 0
    fi
    rm -rf -- "$1"
    [ $mlcr_status -ne 16 ] || mlcr_report_holder "${1%/*}/$mlcr_holder"
    return $mlcr_status
}

# mlcr_release_job JOB: delete a JOB that this connection's client claimed and will not launch, so
# that no list of jobs contains it. Status 17: it is already launched.
mlcr_release_job() {
    [ ! -d "$1/tasks" ] || return 17
    mlcr_withdraw_gpus "$1"
    rm -rf -- "$1"
}

# mlcr_write_task DIRECTORY NAME COMMAND ENGINE CONTAINER TIMEOUT OWN BEGIN MOUNTS IMAGE: write the
# files of a task. BEGIN: the arguments of mlcr_write_begin (empty: nothing to decide). MOUNTS and
# IMAGE: those of mlcr_write_mounts (IMAGE may be empty). All were quoted by the client.
mlcr_write_task() {
    printf '%s' "$2" >"$1/name" &&
        printf 'set -- %s\n' "$3" >"$1/command" &&
        printf 'set -- %s "$@"\n' "$4" >"$1/engine" &&
        true >"$1/stdout" &&
        true >"$1/stderr" &&
        true >"$1/exit.pending" &&
        true >"$1/inspect.pending" &&
        true >"$1/cut.pending" &&
        { [ -z "$5" ] || printf '%s' "$5" >"$1/container"; } &&
        { [ -z "$6" ] || printf '%s\n' "$6" >"$1/timeout"; } &&
        { [ -z "$7" ] || printf 'set -- %s\n' "$7" >"$1/own"; } &&
        { [ -z "$8" ] || (eval "mlcr_write_begin \"\$1\" $8"); } &&
        eval "mlcr_write_mounts \"\$1/mounts\" $9" &&
        { [ -z "${10}" ] || eval "mlcr_write_mounts \"\$1/image\" ${10}"; }
}

# mlcr_schedule_job JOB SCHEDULER OPTIONS SETUP SCRATCH [VARIABLE...]: let Slurm start the supervisor of
# a claimed JOB that is not launched yet. SCHEDULER: the text of that program; OPTIONS: the options of
# sbatch, quoted by the client (empty: mlcr_submit_together has them); SETUP: shell text that runs before
# the tasks; SCRATCH: the arguments of mlcr_write_scratch, quoted by the client (empty: none); VARIABLE:
# names of the variables that the tasks need.
mlcr_schedule_job() {
    [ -d "$1/slurm" ] || mkdir -m 0700 -- "$1/slurm" || return 1
    [ -z "$3" ] || printf 'set -- %s\n' "$3" >"$1/slurm/options" || return 1
    printf '%s' "$4" >"$1/slurm/setup" || return 1
    [ -z "$5" ] || (eval "mlcr_write_scratch \"\$1\" $5") || return 1
    mlcr_job_directory=$1
    mlcr_text=$2
    shift 5
    [ $# -eq 0 ] || printf '%s\n' "$*" >"$mlcr_job_directory/slurm/variables" || return 1
    mlcr_write_atomically "$mlcr_job_directory/scheduler" "$mlcr_text"
}

# mlcr_write_scratch JOB PATH [COPIED MOUNTED WRITTEN]...: write the files of slurm_scratch.sh. COPIED and
# WRITTEN: for each task the arguments of mlcr_write_mounts; MOUNTED: words; all quoted by the client.
mlcr_write_scratch() {
    mlcr_files=$1/slurm
    printf '%s\n' "$2" >"$mlcr_files/scratch.path" || return 1
    shift 2
    mlcr_count=0
    while [ $# -ge 3 ]; do
        mlcr_count=$((mlcr_count + 1))
        eval "mlcr_write_mounts \"\$mlcr_files/copied.\$mlcr_count\" $1" &&
            printf 'set -- %s\n' "$2" >"$mlcr_files/mounted.$mlcr_count" &&
            eval "mlcr_write_mounts \"\$mlcr_files/written.\$mlcr_count\" $3" || return 1
        shift 3
    done
}

# mlcr_submit_together OPTIONS LEADER [JOB]...: submit one batch job for launched jobs that have no
# options, all in one directory; they run in this order. OPTIONS: those of sbatch, for LEADER. It is
# safe to repeat. Status 21: the scheduler refuses it, and no job is launched; 22: no answer.
mlcr_submit_together() {
    mlcr_options=$1
    shift
    if [ ! -s "$1/slurm/members" ]; then
        mlcr_members=
        for mlcr_job; do
            if [ ! -d "$mlcr_job/tasks" ] || [ -e "$mlcr_job/stop" ] || [ -e "$mlcr_job/slurm/end" ]; then
                # It was stopped, or counted as lost.
                printf 'stopped\n' >"$mlcr_job/slurm/claimed" || return 1
                continue
            fi
            mlcr_members="$mlcr_members${mlcr_members:+
}${mlcr_job##*/}"
        done
        [ -n "$mlcr_members" ] || return 0
        printf 'set -- %s\n' "$mlcr_options" >"$1/slurm/options" || return 1
        mlcr_write_atomically "$1/slurm/members" "$mlcr_members" || return 1
    fi
    while read -r mlcr_member; do
        mlcr_write_atomically "${1%/*}/$mlcr_member/slurm/leader" "${1##*/}" || return 1
    done <"$1/slurm/members"
    mlcr_start_supervisor "$1" || {
        mlcr_status=$?
        [ $mlcr_status -eq 22 ] || mlcr_withdraw_together "$@"
        return $mlcr_status
    }
}

# mlcr_withdraw_together JOB...: make jobs that were not submitted together jobs that are not
# launched.
mlcr_withdraw_together() {
    for mlcr_job; do
        rm -rf -- "$mlcr_job/tasks" "$mlcr_job/launching"
        rm -f -- "$mlcr_job/slurm/leader" "$mlcr_job/slurm/members" "$mlcr_job/slurm/options" \
            "$mlcr_job/slurm/environment"
    done
}

# mlcr_start_supervisor JOB [WORD...]: start the supervisor in its own session, so that it does not
# depend on this login; or hand the job to its scheduler. Status 21: the scheduler refuses it; 22:
# the scheduler gives no answer.
mlcr_start_supervisor() {
    if [ -e "$1/scheduler" ]; then
        /bin/sh "$1/scheduler" submit "$1" </dev/null
        case $? in
        0) return 0 ;;
        21) return 21 ;;
        22) return 22 ;;
        *) return 1 ;;
        esac
    elif command -v setsid >/dev/null 2>&1; then
        setsid /bin/sh "$1/supervise" "$@" </dev/null >>"$1/supervise.log" 2>&1 &
    else
        (
            trap '' HUP
            exec /bin/sh "$1/supervise" "$@"
        ) </dev/null >>"$1/supervise.log" 2>&1 &
    fi
}

# mlcr_launch_job JOB SUPERVISOR LOG_LIMIT SECRETS CLAIM EXPECTED [NAME COMMAND ENGINE CONTAINER
# TIMEOUT OWN BEGIN MOUNTS IMAGE]...: prepare the paths that the tasks of a claimed JOB expect, write the
# tasks and start the supervisor, once. Status 17: JOB is already launched; 18: the paths could not be
# prepared; 19: another job has had the workspace or a GPU since the claim; 20: a link leads out of
# the area of a path; 21 and 22: see mlcr_start_supervisor; after 21 the job is not launched. Nothing
# runs unless every file could be written. SECRETS: "yes" if the tasks
# need variables from the environment of this call. CLAIM and EXPECTED: the arguments of
# mlcr_confirm_claim and of mlcr_prepare_paths, quoted by the client.
mlcr_launch_job() {
    if mlcr_is_launched "$1"; then
        mlcr_submit_again "$1" || return
        return 17
    fi
    eval "mlcr_confirm_claim \"\$1\" $5" || return
    (eval "mlcr_prepare_paths $6") || {
        [ $? -ne 20 ] || return 20
        return 18
    }
    mlcr_job_directory=$1
    # If two calls arrive at once, one creates the file; mkdir would start one more process.
    mlcr_error=$(
        exec 2>&1
        set -C
        true >"$1/launching"
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
    mlcr_start_supervisor "$mlcr_job_directory" || {
        mlcr_status=$?
        [ $mlcr_status -eq 22 ] || rm -rf -- "$1/tasks" "$1/launching"
        return $mlcr_status
    }
}

# mlcr_submit_again JOB: hand a launched JOB to its scheduler, if the shell that launched it did not
# get that far.
mlcr_submit_again() {
    [ -e "$1/scheduler" ] && [ -d "$1/tasks" ] && [ ! -s "$1/slurm/id" ] || return 0
    mlcr_is_being_launched "$1" || mlcr_start_supervisor "$1"
}

# mlcr_confirm_claim JOB LOCK GROUP ENGINE [GPU]...: keep a claimed JOB live while this shell launches
# it, and make sure that it has LOCK (empty: none) and its GPUs. A client whose connection broke may
# launch a job that counted as dead in between. Status 19: another job has had LOCK or a GPU since
# then, so what was prepared may have changed. ENGINE is that of mlcr_lease_gpus.
mlcr_confirm_claim() {
    mlcr_identify_process $$
    printf '%s\n' "$mlcr_process_identity" >"$1/launcher.$$" || return 1
    mlcr_claimant=
    [ ! -s "$1/preparing" ] || read -r mlcr_claimant <"$1/preparing"
    # This is checked after the file above was written: so JOB has been live since its claim.
    mlcr_identify_process "$PPID" $$
    [ "$mlcr_process_identity" != "$mlcr_claimant" ] || return 0
    if [ -n "$2" ]; then
        mlcr_acquire_lock "$2" "${1%/*}" "${1##*/}" "$3"
        mlcr_status=$?
        [ $mlcr_status -ne 16 ] || return 19
        [ $mlcr_status -eq 0 ] || return $mlcr_status
        [ -n "$mlcr_kept" ] || return 19
    fi
    mlcr_job_directory=$1
    mlcr_engine=$4
    shift 4
    [ $# -eq 0 ] || (mlcr_lease_gpus "$mlcr_job_directory" $# "$mlcr_engine" "$@") >/dev/null ||
        return 19
}

# mlcr_is_launched JOB: whether JOB is launched, or a client is launching it.
mlcr_is_launched() {
    [ -d "$1/tasks" ] || [ -e "$1/launching" ]
}

# mlcr_write_tasks: take the parameters of mlcr_launch_job and write the files of
# mlcr_job_directory.
mlcr_write_tasks() {
    printf '%s' "$2" >"$1/supervise" && printf '%s\n' "$3" >"$1/log-limit" || return 1
    [ "$4" != yes ] || true >"$1/secrets" || return 1
    shift 6
    mlcr_make_task_directories "$mlcr_job_directory" $(($# / 9)) || return 1
    mlcr_count=0
    while [ $# -ge 9 ]; do
        mlcr_count=$((mlcr_count + 1))
        mlcr_write_task "$mlcr_job_directory/tasks.new/$mlcr_count" \
            "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9" || return 1
        shift 9
    done
    mv -- "$mlcr_job_directory/tasks.new" "$mlcr_job_directory/tasks"
}

# mlcr_make_task_directories JOB COUNT: create the directories and pipes of COUNT tasks.
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

# mlcr_adopt_task JOB N: start another supervisor for the Nth task if its supervisor died: once per
# dead supervisor, and again if the new one did not write its identity within a minute.
mlcr_adopt_task() {
    ! mlcr_is_supervisor_alive "$1" || return 0
    # mlcr_pid is the dead supervisor's; the file "owner" may already name its successor.
    mlcr_adoption=$1/adopted.$mlcr_pid
    mlcr_try=1
    while [ -d "$mlcr_adoption.$mlcr_try" ]; do
        [ -n "$(find "$mlcr_adoption.$mlcr_try" -prune -mmin +1)" ] || return 0
        mlcr_try=$((mlcr_try + 1))
    done
    mkdir -- "$mlcr_adoption.$mlcr_try" 2>/dev/null || return 0
    mlcr_start_supervisor "$1" adopt "$2"
}
