# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The supervisor of one job: runs its tasks in order, keeps their output, and publishes how each
# ended. It depends on nothing but its directory; no client is needed for it to do its work.
# It follows the text of the library (host.sh, engine.sh, job.sh), whose functions it uses.
# Usage: sh supervise JOB

# publish FILE TEXT: a reader sees FILE whole or not at all.
publish() {
    printf '%s\n' "$2" >"$1.new" && mv -- "$1.new" "$1"
}

# run DIRECTORY: run the command written there. Its words were quoted by the client for /bin/sh.
run() (
    task=$1
    eval "set -- $(cat -- "$task/command")"
    umask 022
    # Appended to: a follower that came early must not see its file shrink.
    exec </dev/null >>"$task/stdout" 2>>"$task/stderr"
    [ ! -e "$task/container" ] || exec "$@"
    # A group of its own is what can be stopped as a whole where there is no container.
    # shellcheck disable=SC2016 # expanded by the inner shell
    exec setsid sh -c 'echo $$ >"$0/group"; exec "$@"' "$task" "$@"
)

# inspect DIRECTORY: keep what the engine says of the container. Its word counts, since the status
# of "docker run" mixes the program's exit codes with the engine's own.
inspect() (
    task=$1
    [ -s "$task/cid" ] || return 0
    eval "set -- $(cat -- "$task/engine")"
    state=$(mlcr_limited 30 "$@" inspect --type container --format \
        '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}' \
        -- "$(cat -- "$task/cid")" 2>/dev/null) && publish "$task/inspect" "$state"
)

# remove DIRECTORY: remove the container, whose log and state are kept by now. Nobody waits for
# that, so what still runs goes first.
remove() (
    task=$1
    [ -s "$task/cid" ] || return 0
    eval "set -- $(cat -- "$task/engine")"
    nice "$@" rm -- "$(cat -- "$task/cid")" >/dev/null 2>&1
)

# supervise JOB
supervise() {
    publish "$1/owner" "$(mlcr_boot) $$ $(mlcr_starttime $$)"
    number=1
    while [ -d "$1/tasks/$number" ] && [ ! -e "$1/stop" ]; do
        task=$1/tasks/$number
        publish "$task/started" "$(date +%s)"
        exec 9<>"$task/alive"
        run "$task" 9>&-
        code=$?
        [ $code -eq 0 ] || [ ! -e "$task/container" ] || inspect "$task"
        publish "$task/finished" "$(date +%s)"
        mv -- "$task/exit.pending" "$task/exit.$code"
        exec 9>&-
        [ ! -e "$task/container" ] || remove "$task"
        [ $code -eq 0 ] || break
        number=$((number + 1))
    done
}

umask 077
trap '' HUP
supervise "$1"
