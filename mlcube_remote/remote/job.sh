# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Starting, following, judging and stopping jobs. A job is a directory:
#
#   supervise         the supervisor's own text
#   owner             "BOOT_ID PID STARTTIME" of the supervisor
#   stop              exists once somebody asked for the job to stop
#   tasks/N/command   the command of the Nth task, as one line of quoted words
#   tasks/N/name      the task's name
#   tasks/N/container name of its container; absent where the engine has none
#   tasks/N/cid       the container's id, written by the engine
#   tasks/N/engine    the engine's executable, as one line of quoted words
#   tasks/N/stdout, stderr, started, finished, inspect
#   tasks/N/alive     a pipe that the supervisor holds open until the task has ended
#   tasks/N/exit.CODE the end; exit.pending until then (a rename needs no free disk space)

# mlcr_starttime PID: print when the process started, in clock ticks since boot: with the pid and
# the boot it names one process for ever (pids are used again).
mlcr_starttime() {
    mlcr_stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The command's name, in parentheses, may hold spaces; fields are counted after it.
    # shellcheck disable=SC2086
    set -- ${mlcr_stat##*) }
    printf '%s' "${20}"
}

# mlcr_boot: print what tells this boot from the next. MLCR_BOOT_ID stands in for it in tests,
# where hosts are containers that share one kernel.
mlcr_boot() {
    if [ -r "$HOME/.mlcube-remote-boot-id" ]; then
        cat "$HOME/.mlcube-remote-boot-id"
    else
        cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown
    fi
}

# mlcr_job JOB SUPERVISOR: make the directory JOB and put the supervisor's text there. Status 17
# when JOB exists already: the job was claimed before.
mlcr_job() {
    mkdir -m 0700 -- "$1" 2>/dev/null || {
        [ -d "$1" ] && return 17
        mkdir -m 0700 -- "$1"
        return 1
    }
    mkdir -- "$1/tasks" && printf '%s' "$2" >"$1/supervise"
}

# mlcr_task JOB N NAME COMMAND ENGINE CONTAINER: write down the Nth task.
mlcr_task() {
    mlcr_dir=$1/tasks/$2
    mkdir -- "$mlcr_dir" &&
        printf '%s' "$3" >"$mlcr_dir/name" &&
        printf '%s' "$4" >"$mlcr_dir/command" &&
        printf '%s' "$5" >"$mlcr_dir/engine" &&
        : >"$mlcr_dir/stdout" &&
        : >"$mlcr_dir/stderr" &&
        : >"$mlcr_dir/exit.pending" &&
        mkfifo -m 0600 -- "$mlcr_dir/alive" &&
        if [ -n "$6" ]; then printf '%s' "$6" >"$mlcr_dir/container"; fi
}

# mlcr_start JOB: start the supervisor in a session of its own, so that nothing that happens to
# this login reaches it.
mlcr_start() {
    if command -v setsid >/dev/null 2>&1; then
        setsid /bin/sh "$1/supervise" "$1" </dev/null >"$1/supervise.log" 2>&1 &
    else
        (
            trap '' HUP
            exec /bin/sh "$1/supervise" "$1"
        ) </dev/null >"$1/supervise.log" 2>&1 &
    fi
}

# mlcr_launch JOB SUPERVISOR [NAME COMMAND ENGINE CONTAINER]...: claim JOB, write down its tasks,
# start it. Nothing runs unless all of it could be written.
mlcr_launch() {
    mlcr_at=$1
    mlcr_job "$1" "$2" || return $?
    shift 2
    mlcr_count=0
    while [ $# -ge 4 ]; do
        mlcr_count=$((mlcr_count + 1))
        mlcr_task "$mlcr_at" "$mlcr_count" "$1" "$2" "$3" "$4" || return 1
        shift 4
    done
    mlcr_start "$mlcr_at"
}

# mlcr_ended DIRECTORY: whether the task of DIRECTORY has ended.
mlcr_ended() {
    [ ! -e "$1/exit.pending" ]
}

# mlcr_alive JOB: whether the supervisor of JOB still runs. A job without an owner yet counts as
# alive for as long as it may take to start.
mlcr_alive() {
    [ -s "$1/owner" ] || return 0
    read -r mlcr_owner_boot mlcr_owner_pid mlcr_owner_start <"$1/owner"
    [ "$mlcr_owner_boot" = "$(mlcr_boot)" ] || return 1
    kill -0 "$mlcr_owner_pid" 2>/dev/null || return 1
    [ "$(mlcr_starttime "$mlcr_owner_pid")" = "$mlcr_owner_start" ]
}

# mlcr_follow JOB N STDOUT STDERR: pass on what the Nth task writes, from these byte offsets on,
# until it ends. What is in the files but was not passed on in time is fetched with mlcr_bytes.
mlcr_follow() {
    mlcr_dir=$1/tasks/$2
    tail -c "+$(($3 + 1))" -f -- "$mlcr_dir/stdout" &
    mlcr_helpers=$!
    tail -c "+$(($4 + 1))" -f -- "$mlcr_dir/stderr" >&2 &
    mlcr_helpers="$mlcr_helpers $!"
    # Opening the pipe waits for the supervisor to come to the task, reading it for the task's end:
    # nothing is polled, and nobody waits longer than need be.
    (
        exec >/dev/null 2>&1
        mlcr_ended "$mlcr_dir" || exec cat -- "$mlcr_dir/alive"
    ) &
    mlcr_end=$!
    # A supervisor that was killed, or had ended just before the pipe was opened, is found slowly.
    (
        exec >/dev/null 2>&1
        while sleep 2 && ! mlcr_ended "$mlcr_dir" && mlcr_alive "$1"; do :; done
        kill $mlcr_end
    ) &
    mlcr_helpers="$mlcr_helpers $!"
    # shellcheck disable=SC2064 # the pids of now
    trap "kill $mlcr_helpers $mlcr_end 2>/dev/null" EXIT
    trap 'exit 0' HUP TERM PIPE
    wait $mlcr_end
    # shellcheck disable=SC2086 # pids, as words
    kill $mlcr_helpers 2>/dev/null
    return 0
}

# mlcr_bytes FILE OFFSET: print FILE from the byte at OFFSET on, half a mebibyte at the most.
mlcr_bytes() {
    tail -c "+$(($2 + 1))" -- "$1" | head -c 524288
}

# mlcr_line FILE: print the first line of FILE.
mlcr_line() {
    IFS= read -r mlcr_read <"$1" || :
    printf '%s' "$mlcr_read"
}

# mlcr_verdict JOB N: print how the Nth task stands: its exit code ("pending" while it runs),
# whether the supervisor lives, the sizes of its logs, its times and the engine's own account.
mlcr_verdict() {
    mlcr_dir=$1/tasks/$2
    mlcr_living=yes
    for mlcr_exit in "$mlcr_dir"/exit.*; do
        mlcr_fact exit "${mlcr_exit##*/exit.}"
        # Only for a task that has not ended does it matter.
        [ "${mlcr_exit##*/exit.}" != pending ] || mlcr_alive "$1" || mlcr_living=no
    done
    mlcr_fact alive "$mlcr_living"
    wc -c "$mlcr_dir/stdout" "$mlcr_dir/stderr" | {
        read -r mlcr_size _
        mlcr_fact stdout "$mlcr_size"
        read -r mlcr_size _
        mlcr_fact stderr "$mlcr_size"
    }
    for mlcr_item in started finished inspect; do
        [ ! -e "$mlcr_dir/$mlcr_item" ] || mlcr_fact "$mlcr_item" "$(mlcr_line "$mlcr_dir/$mlcr_item")"
    done
    [ ! -e "$1/stop" ] || mlcr_fact stop yes
}

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

# mlcr_stop JOB GRACE: ask the job to stop: SIGTERM to what runs, SIGKILL after GRACE seconds.
# The supervisor starts no further task once the mark is there. Calling it again does no harm.
mlcr_stop() {
    : >"$1/stop"
    for mlcr_dir in "$1"/tasks/*; do
        ! mlcr_ended "$mlcr_dir" && [ -e "$mlcr_dir/started" ] || continue
        if [ -e "$mlcr_dir/container" ]; then
            eval "set -- \"\$1\" \"\$2\" $(cat -- "$mlcr_dir/engine")"
            mlcr_grace=$2
            shift 2
            mlcr_await_id "$mlcr_dir" || return 1
            "$@" stop -t "$mlcr_grace" -- "$(cat -- "$mlcr_dir/cid")" >/dev/null
        elif [ -s "$mlcr_dir/group" ]; then
            mlcr_stop_group "$mlcr_dir" "$2"
        fi
        return
    done
}

# mlcr_stop_group DIRECTORY GRACE: end the process group of an engine without containers of its
# own (Singularity), the gentle way first.
mlcr_stop_group() {
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
