# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# The supervisor of one job: runs its tasks in order, keeps their output, and publishes how each
# ended. It depends on nothing but its directory; no client is needed for it to do its work.
# It follows the text of the library, whose functions it uses.
# Usage: sh supervise JOB            run the job
#        sh supervise JOB adopt N    go on with its Nth task, whose supervisor died

# run DIRECTORY: run the command written there. Its words were quoted by the client for /bin/sh.
run() (
    task=$1
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$task/command"
    umask 022
    exec </dev/null 9>&-
    [ ! -e "$task/container" ] || exec "$@"
    # A group of its own is what can be stopped as a whole where there is no container.
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec setsid sh -c 'echo $$ >"$0/group"; exec "$@"' "$task" "$@"
)

# keep FILE LIMIT: append what comes to FILE, LIMIT bytes at the most; the rest is read and thrown
# away, so that the task neither waits nor dies of it. Appended to: a follower that came early
# must not see its file shrink.
keep() {
    # Descriptor 9 says that the supervisor lives; closed by exec, since shells keep a copy of what
    # is closed for one command.
    exec 9>&-
    (
        trap '' XFSZ
        ulimit -f $((($2 + 511) / 512))
        exec cat
    ) >>"$1" 2>/dev/null || {
        # A rename needs no free disk space.
        mv -f -- "${1%/*}/cut.pending" "${1%/*}/cut"
        printf '\n[mlcube-remote: the log is cut here: it may take %s bytes, or the disk is full]\n' \
            "$2" >>"$1"
        exec cat >/dev/null
    } 2>/dev/null
}

# run_kept DIRECTORY LIMIT: run the task with its output kept.
run_kept() {
    if [ "$2" -eq 0 ]; then
        run "$1" >>"$1/stdout" 2>>"$1/stderr"
        return
    fi
    keep "$1/stdout" "$2" <"$1/out" &
    keeps=$!
    keep "$1/stderr" "$2" <"$1/err" &
    keeps="$keeps $!"
    run "$1" >"$1/out" 2>"$1/err"
    code=$?
    patience=
    if [ ! -e "$1/container" ]; then
        # A process that the task left behind may hold its output open for ever.
        # shellcheck disable=SC2086 # pids, as words
        (
            exec 9>&-
            sleep 5
            kill $keeps
        ) 2>/dev/null &
        patience=$!
    fi
    # shellcheck disable=SC2086
    wait $keeps
    [ -z "$patience" ] || kill "$patience" 2>/dev/null
    return $code
}

# watch_time DIRECTORY SECONDS: end the task when its time is over. Its input is the pipe that the
# supervisor holds open, so it goes with the task.
watch_time() {
    mlcr_run_limited "$2" cat >/dev/null 2>&1
    # What timeout(1) of coreutils ends with, and of busybox.
    case $? in
    124 | 143) ;;
    *) return ;;
    esac
    mlcr_has_ended "$1" && return
    : >"$1/timedout"
    mlcr_stop_task "$1" 10
}

# arm DIRECTORY: have the time watched that is left to the task, if it has a limit.
arm() {
    [ -s "$1/timeout" ] || return 0
    now=$(date +%s)
    begun=$now
    # On a full disk nobody could write down when it began.
    [ ! -s "$1/started" ] || begun=$(mlcr_print_line "$1/started")
    left=$(($(mlcr_print_line "$1/timeout") - now + begun))
    [ "$left" -gt 0 ] || left=1
    # Opened here, while this shell is there to be waited for at the other end.
    exec 8<"$1/alive"
    (
        exec <&8 8<&- 9>&-
        watch_time "$1" "$left"
    ) &
    exec 8<&-
}

# daemon: print what names the running engine daemon, where that can be read.
daemon() {
    [ -r /var/run/docker.pid ] || return 0
    read -r pid </var/run/docker.pid
    mlcr_read_start_time "$pid"
    printf '%s %s' "$pid" "$mlcr_ticks"
}

# inspect DIRECTORY: keep what the engine says of the container. Its word counts, since the status
# of "docker run" mixes the program's exit codes with the engine's own. An engine that is being
# started anew gets the time for that.
inspect() {
    [ -s "$1/cid" ] || return 0
    state=$(mlcr_print_container_state "$1")
    tries=0
    while [ "$state" = unknown ] && [ $tries -lt 40 ]; do
        sleep 3
        tries=$((tries + 1))
        state=$(mlcr_print_container_state "$1")
    done
    case $state in
    *' 137 false'*)
        # An engine may hear that memory ran out after it has heard of the end.
        [ -e "${1%/tasks/*}/stop" ] || [ -e "$1/timedout" ] || sleep 1
        again=$(mlcr_print_container_state "$1")
        [ "$again" = unknown ] || state=$again
        ;;
    esac
    case $state in
    running* | paused* | stopping*)
        # The engine's client was cut off from its container, which goes on.
        : >"$1/degraded"
        mlcr_run_engine "$1" wait -- "$(mlcr_print_line "$1/cid")" >/dev/null || sleep 3
        inspect "$1"
        ;;
    absent) : >"$1/removed" ;;
    unknown) ;;
    *) mlcr_write_atomically "$1/inspect" "$state" 2>/dev/null || keep_briefly "$1" "$state" ;;
    esac
}

# keep_briefly DIRECTORY STATE: keep the first three words of what the engine says in a name.
keep_briefly() {
    task=$1
    # shellcheck disable=SC2086 # words
    set -- $2
    mv -f -- "$task/inspect.pending" "$task/inspect.$1,$2,$3"
}

# remove DIRECTORY: remove the container, whose log and state are kept by now. Nobody waits for
# that, so what still runs goes first.
remove() (
    task=$1
    [ -s "$task/cid" ] || return 0
    set -- rm -- "$(mlcr_print_line "$task/cid")"
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$task/engine"
    # As for a question (engine.sh), one core will do.
    export GOMAXPROCS=1
    exec nice "$@" >/dev/null 2>&1
)

# begin DIRECTORY: run the task from its beginning to its end; set code.
begin() {
    # A few bytes, which others find whole or not at all: no process is started to rename them.
    date +%s >"$1/started"
    arm "$1"
    before=
    [ ! -e "$1/container" ] || before=$(daemon)
    run_kept "$1" "$limit"
    code=$?
    if [ $code -ne 0 ] && [ -e "$1/container" ]; then
        inspect "$1"
        [ "$before" = "$(daemon)" ] || : >"$1/restarted"
    fi
}

# adopt DIRECTORY: wait for the end of a task that was begun by another supervisor; set code.
adopt() {
    : >"$1/degraded"
    arm "$1"
    code=1
    if [ -e "$1/container" ]; then
        mlcr_run_engine "$1" wait -- "$(mlcr_print_line "$1/cid")" >/dev/null
        inspect "$1"
        known_code "$1"
    else
        read -r group <"$1/group"
        while kill -0 "-$group" 2>/dev/null; do sleep 1; done
        # Only its parent could have told how it ended.
        return 1
    fi
}

# known_code DIRECTORY: set code to the exit code that the engine told of; fail where it told none.
known_code() {
    code=
    if [ -s "$1/inspect" ]; then
        read -r _ code _ <"$1/inspect"
    else
        for brief in "$1"/inspect.*,*,*; do
            brief=${brief##*/inspect.}
            brief=${brief#*,}
            code=${brief%%,*}
        done
    fi
    case $code in
    '' | *[!0-9]*) return 1 ;;
    esac
}

# own DIRECTORY: give what the task wrote to the user, or tell why that could not be done.
own() (
    exec </dev/null 9>&-
    task=$1
    [ -s "$task/own" ] || return 0
    # shellcheck disable=SC1091 # made by mlcr_write_task
    . "$task/own"
    told=$(mlcr_chown_outputs "$task" "$@" 2>&1) || printf '%s\n' "${told:-no reason given}" >"$task/foreign"
)

# end DIRECTORY: publish how the task ended.
end() {
    date +%s >"$1/finished"
    # Whoever sees the end may read the outputs.
    own "$1"
    mv -- "$1/exit.pending" "$1/exit.$code"
    exec 9>&-
    [ ! -e "$1/container" ] || remove "$1"
}

# supervise JOB [adopt N]
supervise() {
    # Without a name that others can check it would be taken for dead, and the task run twice.
    mlcr_identify_process $$
    mlcr_write_atomically "$1/owner" "$mlcr_process_identity" || return
    mlcr_announce_gpus "$1"
    limit=$(mlcr_print_line "$1/log-limit")
    number=${3:-1}
    adopts=${2-}
    while [ -d "$1/tasks/$number" ]; do
        task=$1/tasks/$number
        exec 9<>"$task/alive"
        if [ -n "$adopts" ]; then
            adopt "$task" || return
            end "$task"
            adopts=
            # What the next tasks would need was with the one that died.
            [ ! -e "$1/secrets" ] || : >"$1/stop"
        else
            [ ! -e "$1/stop" ] || return
            begin "$task"
            end "$task"
        fi
        [ "$code" -eq 0 ] || return
        number=$((number + 1))
    done
}

umask 077
trap '' HUP
supervise "$@"
mlcr_withdraw_gpus "$1"
