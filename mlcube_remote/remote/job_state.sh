# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# How jobs stand. What cannot be known is said so, and never guessed.

# mlcr_alive JOB: whether the supervisor of JOB, mlcr_pid, still runs. One that was launched and has not said
# its name yet counts as alive for as long as it may take to start.
mlcr_alive() {
    mlcr_pid=none
    if [ ! -s "$1/owner" ]; then
        [ -z "$(find "$1/tasks" -prune -mmin +1 2>/dev/null)" ]
        return
    fi
    read -r mlcr_boot mlcr_pid mlcr_start _ <"$1/owner"
    mlcr_lives "$mlcr_boot" "$mlcr_pid" "$mlcr_start"
}

# mlcr_is_elsewhere FILE: whether the process that FILE names is of another machine, mlcr_where, which
# shares this home; mlcr_boot is its boot.
mlcr_is_elsewhere() {
    mlcr_boot=
    mlcr_where=
    [ -s "$1" ] || return 1
    read -r mlcr_boot _ _ mlcr_where <"$1"
    [ -n "$mlcr_where" ] && mlcr_know_node && [ "$mlcr_where" != "$mlcr_node" ]
}

# mlcr_current JOB: set mlcr_dir to the first task that has not ended well, mlcr_exit to its exit
# code or "pending"; nothing when all have ended well.
mlcr_current() {
    mlcr_dir=
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        [ "$mlcr_exit" = 0 ] || return 0
        mlcr_number=$((mlcr_number + 1))
    done
    mlcr_dir=
}

mlcr_read_exit() {
    for mlcr_exit in "$1"/exit.*; do
        mlcr_exit=${mlcr_exit##*/exit.}
    done
}

# mlcr_state JOB: print how the job stands:
#
#   absent     there is none
#   preparing  claimed by a client that is still connected
#   abandoned  claimed by a client that vanished before it launched the job
#   running    its supervisor lives
#   orphaned   its supervisor died, its task lives: it can be adopted
#   ended      every task that was to run has ended
#   lost       it cannot be alive, and left no exit code
#   elsewhere  it runs on another machine that shares this home, which alone can say more
mlcr_state() {
    if [ ! -d "$1" ]; then
        echo absent
    elif [ ! -d "$1/tasks" ]; then
        mlcr_state_before "$1"
    else
        mlcr_current "$1"
        if [ -z "$mlcr_dir" ] || [ "$mlcr_exit" != pending ]; then
            echo ended
        elif mlcr_alive "$1"; then
            echo running
        else
            mlcr_state_without "$1"
        fi
    fi
}

# mlcr_state_before JOB: the state of a job that was not launched yet.
mlcr_state_before() {
    mlcr_where=
    [ ! -s "$1/preparing" ] || read -r mlcr_boot mlcr_pid mlcr_start mlcr_where <"$1/preparing"
    if [ -z "$mlcr_where" ]; then
        # Claimed a moment ago, or by a client that vanished in that moment.
        if [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ]; then echo preparing; else echo abandoned; fi
    elif mlcr_lives "$mlcr_boot" "$mlcr_pid" "$mlcr_start"; then
        echo preparing
    elif mlcr_know_node && [ "$mlcr_where" != "$mlcr_node" ]; then
        echo elsewhere
    else
        echo abandoned
    fi
}

# mlcr_state_without JOB: the state of a job whose supervisor is gone, at its task mlcr_dir.
mlcr_state_without() {
    if [ -e "$1/stop" ] && [ ! -e "$mlcr_dir/started" ]; then
        echo ended
    elif mlcr_is_elsewhere "$1/owner"; then
        echo elsewhere
    elif [ -n "$mlcr_where" ] && mlcr_know_boot && [ "$mlcr_boot" != "$mlcr_this_boot" ]; then
        echo lost
    else
        case $(mlcr_remains "$mlcr_dir") in
        running* | exited* | dead* | created* | paused* | restarting* | unknown) echo orphaned ;;
        initialized* | stopping* | stopped*) echo orphaned ;; # Podman's
        *) echo lost ;;
        esac
    fi
}

# mlcr_remains DIRECTORY: print what is left of a task without a supervisor: the container's
# "STATUS EXITCODE OOMKILLED", "absent", or "unknown" where the engine does not answer.
mlcr_remains() {
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
    mlcr_of=${1%/tasks/*}
    if mlcr_told=$(
        exec 2>&1
        mlcr_keep_id "$1" "${mlcr_of##*/}" &&
            mlcr_ask_engine "$1" \
                '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}'
    ); then
        printf '%s\n' "$mlcr_told"
        return 0
    fi
    case $mlcr_told in
    *[Nn]'o such '*)
        # The engine's client lives on without its supervisor, and may be about to make it.
        if [ -s "$1/cid" ] || [ -n "$(find "$1/started" -mmin +1 2>/dev/null)" ]; then
            echo absent
        else
            echo unknown
        fi
        ;;
    *) echo unknown ;;
    esac
}

# mlcr_keep_id DIRECTORY JOB: write down the id of the task's container if nobody has.
mlcr_keep_id() {
    [ ! -s "$1/cid" ] || return 0
    mlcr_found=$(mlcr_identify "$1" "$2") && mlcr_publish "$1/cid" "$mlcr_found"
}

# mlcr_ask_engine DIRECTORY FORMAT: print what the engine knows of the task's container.
mlcr_ask_engine() (
    mlcr_dir=$1
    mlcr_format=$2
    mlcr_file=cid
    # Killed in the wrong moment, the supervisor leaves a container whose id nobody kept.
    [ -s "$mlcr_dir/cid" ] || mlcr_file=container
    set -- inspect --type container --format "$mlcr_format" -- "$(mlcr_line "$mlcr_dir/$mlcr_file")"
    # shellcheck disable=SC1091 # made by mlcr_task
    . "$mlcr_dir/engine"
    mlcr_limited "${mlcr_patience:-30}" "$@"
)

# mlcr_identify DIRECTORY JOB: print the id of the task's container if its labels say that it is of
# this job's run, and of this user; what merely has its name is as good as none.
mlcr_identify() (
    mlcr_job=$2
    mlcr_label=org.mlcommons.mlcube-remote
    mlcr_told=$(mlcr_ask_engine "$1" \
        "{{.Id}} {{index .Config.Labels \"$mlcr_label.run\"}} {{index .Config.Labels \"$mlcr_label.owner\"}}") ||
        return 1
    mlcr_whoami
    # shellcheck disable=SC2086 # words
    set -- $mlcr_told
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

# mlcr_verdict JOB N: print how the Nth task stands: its exit code ("pending" while it runs),
# whether the supervisor lives, the sizes of its logs, its times and the engine's own account.
mlcr_verdict() {
    mlcr_dir=$1/tasks/$2
    mlcr_read_exit "$mlcr_dir"
    mlcr_fact exit "$mlcr_exit"
    # Only for a task that has not ended does it matter.
    if [ "$mlcr_exit" != pending ] || mlcr_alive "$1"; then
        mlcr_fact alive yes
    else
        mlcr_fact alive no
        mlcr_verdict_without "$1"
    fi
    wc -c "$mlcr_dir/stdout" "$mlcr_dir/stderr" | {
        read -r mlcr_size _
        mlcr_fact stdout "$mlcr_size"
        read -r mlcr_size _
        mlcr_fact stderr "$mlcr_size"
    }
    for mlcr_item in started finished inspect; do
        [ ! -s "$mlcr_dir/$mlcr_item" ] || mlcr_fact "$mlcr_item" "$(mlcr_line "$mlcr_dir/$mlcr_item")"
    done
    for mlcr_brief in "$mlcr_dir"/inspect.*,*,*; do
        [ ! -e "$mlcr_brief" ] || mlcr_fact inspect "$(mlcr_words "${mlcr_brief##*/inspect.}")"
    done
    case $mlcr_exit in
    0 | pending) ;;
    # An engine that starts nothing says why where the task would have written.
    *) mlcr_fact tail "$(tail -c 4096 -- "$mlcr_dir/stderr" | tr -d '\000')" ;;
    esac
    [ ! -e "$1/stop" ] || mlcr_fact stop yes
    [ ! -e "$mlcr_dir/timedout" ] || mlcr_fact timedout yes
    [ ! -e "$mlcr_dir/cut" ] || mlcr_fact cut yes
    [ ! -e "$mlcr_dir/degraded" ] || mlcr_fact log degraded
    [ ! -e "$mlcr_dir/foreign" ] || mlcr_fact foreign "$(mlcr_line "$mlcr_dir/foreign")"
    [ ! -e "$mlcr_dir/removed" ] || mlcr_fact container absent
    [ ! -e "$mlcr_dir/restarted" ] || mlcr_fact engine restarted
}

# mlcr_words LIST: print what stands between commas.
mlcr_words() (
    IFS=,
    # shellcheck disable=SC2086 # words
    set -- $1
    IFS=' '
    printf '%s ' "$@"
)

mlcr_verdict_without() {
    if mlcr_is_elsewhere "$1/owner"; then
        mlcr_fact node "$mlcr_where"
    elif [ -n "$mlcr_boot" ] && mlcr_know_boot && [ "$mlcr_boot" != "$mlcr_this_boot" ]; then
        mlcr_fact boot changed
    elif [ -e "$mlcr_dir/started" ]; then
        mlcr_fact container "$(mlcr_remains "$mlcr_dir")"
    fi
}

# mlcr_tail FILE LINES: print the offset, in bytes, at which the last LINES lines of FILE begin.
mlcr_tail() {
    [ -e "$1" ] || {
        echo 0
        return 0
    }
    mlcr_whole=$(wc -c <"$1")
    mlcr_last=$(tail -n "$2" -- "$1" | wc -c)
    # The file may have grown between the two.
    [ "$mlcr_last" -le "$mlcr_whole" ] || mlcr_last=$mlcr_whole
    echo $((mlcr_whole - mlcr_last))
}

# mlcr_survey ROOT [all]: tell of each job below ROOT; without "all" not of those that have ended.
mlcr_survey() {
    mlcr_jobs=$(mlcr_expand "$1")/jobs
    # By the clock of the disk, which may be another machine's, as the times of the files are.
    mlcr_now=$(touch "$mlcr_jobs/.now" 2>/dev/null && stat -c %Y -- "$mlcr_jobs/.now" 2>/dev/null) ||
        mlcr_now=$(date +%s)
    # An engine that hangs is waited for once for each job that only it could tell of.
    mlcr_patience=5
    for mlcr_job in "$mlcr_jobs"/*; do
        [ -d "$mlcr_job" ] || continue
        mlcr_told=$(mlcr_state "$mlcr_job")
        [ "$mlcr_told" != ended ] || [ -n "${2-}" ] || continue
        mlcr_fact job "${mlcr_job##*/}"
        mlcr_fact state "$mlcr_told"
        [ ! -e "$mlcr_job/stop" ] || mlcr_fact stop yes
        mlcr_begun=$(stat -c %Y -- "$mlcr_job/request" 2>/dev/null) || mlcr_begun=$mlcr_now
        mlcr_fact age $((mlcr_now - mlcr_begun))
        [ ! -s "$mlcr_job/preparing" ] || mlcr_fact request "$(mlcr_line "$mlcr_job/request")"
        mlcr_survey_tasks "$mlcr_job"
    done
}

mlcr_survey_tasks() {
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        mlcr_fact task "$(mlcr_line "$mlcr_dir/name")"
        mlcr_fact exit "$mlcr_exit"
        for mlcr_item in started finished; do
            [ ! -s "$mlcr_dir/$mlcr_item" ] ||
                mlcr_fact "$mlcr_item" "$(mlcr_line "$mlcr_dir/$mlcr_item")"
        done
        case $mlcr_exit in
        0 | pending) ;;
        *) mlcr_tell_killed "$mlcr_dir" ;;
        esac
        mlcr_number=$((mlcr_number + 1))
    done
}

# mlcr_tell_killed DIRECTORY: tell what ended a task, with mlcr_exit, if that was not the task itself.
mlcr_tell_killed() {
    mlcr_code=
    mlcr_oom=
    [ ! -s "$1/inspect" ] || read -r _ mlcr_code mlcr_oom _ <"$1/inspect"
    for mlcr_brief in "$1"/inspect.*,137,true; do
        [ ! -e "$mlcr_brief" ] || mlcr_code=137 mlcr_oom=true
    done
    if [ -e "$1/timedout" ]; then
        mlcr_fact killed time
    elif [ "$mlcr_code $mlcr_oom" = '137 true' ]; then
        mlcr_fact killed memory
    elif [ -e "$1/restarted" ]; then
        case ${mlcr_code:-137} in 137 | 143) mlcr_fact killed engine ;; esac
    fi
}
