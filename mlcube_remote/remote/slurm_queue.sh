# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Ask Slurm about batch jobs, and rarely: login nodes are shared. Part of the program slurm.sh, which
# lists the files.

# read_id JOB: set id to the batch job that runs the tasks, or else to the one that was submitted;
# nothing: not known.
read_id() {
    id=
    [ ! -s "$1/slurm/id" ] || read -r id <"$1/slurm/id"
    [ ! -s "$1/slurm/claimed" ] || read -r id <"$1/slurm/claimed"
}

# read_queue JOB SECONDS: set answer to "ok" and listing to what Slurm says of the user's jobs, at
# most SECONDS old (-1: ask in any case): lines "ID STATE REASON". Set answer to "silent" if it says
# nothing, and is_fresh if it was asked now. The answer is kept in a file for all jobs: a line "TIME
# ANSWER", then the listing.
read_queue() {
    queue=${1%/jobs/*}/slurm-queue
    now=$(date +%s)
    asked=0
    answer=
    is_fresh=
    [ ! -s "$queue" ] || read -r asked answer <"$queue"
    oldest_s=$2
    # A controller that restarts is back soon.
    [ "$answer" != silent ] || [ "$oldest_s" -lt 5 ] || oldest_s=5
    if [ $((now - asked)) -le "$oldest_s" ] && [ "$asked" -le "$now" ]; then
        listing=$(cat "$queue")
        return 0
    fi
    is_fresh=yes
    mlcr_read_user
    answer=ok
    listing=$(mlcr_run_limited 30 squeue -h -t all -u "$mlcr_uid" -o '%i %T %r' 2>/dev/null) ||
        answer=silent
    # On a full disk, each job asks for itself.
    { printf '%s\n' "$now $answer" "$listing" >"$queue.$$" && mv -f -- "$queue.$$" "$queue"; } \
        2>/dev/null
}

# find_in_queue: set state and reason to those of batch job id in the listing; ABSENT: it is not
# there, SILENT: Slurm did not answer.
find_in_queue() {
    reason=
    state=SILENT
    [ "$answer" = ok ] || return 0
    state=ABSENT
    newline='
'
    line=$newline$listing$newline
    case $line in
    *"$newline$id "*) ;;
    *) return 0 ;;
    esac
    line=${line#*"$newline$id "}
    line=${line%%"$newline"*}
    state=${line%% *}
    reason=${line#* }
}

# ask_slurm JOB: set id, state and reason of the batch job. The answer may be 30 seconds old; less if
# somebody waits for a change.
ask_slurm() {
    read_id "$1"
    if [ -z "$id" ]; then
        state=ABSENT
        reason=
        find_by_name "$1"
        case $? in
        0) read_id "$1" ;;
        1) return 0 ;;
        2)
            state=SILENT
            return 0
            ;;
        esac
    fi
    max_age=30
    [ -s "$1/owner" ] || max_age=10
    [ ! -e "$1/stop" ] || max_age=1
    read_queue "$1" "$max_age"
    find_in_queue
    # The job may have been submitted after the answer.
    if [ "$state" = ABSENT ] && [ -z "$is_fresh" ]; then
        read_queue "$1" -1
        find_in_queue
    fi
}

# ask_accounting: set state to what the accounting says about the end of batch job id, if there is
# an accounting.
ask_accounting() {
    command -v sacct >/dev/null 2>&1 || return 0
    told=$(mlcr_run_limited 30 sacct -n -X -P -j "$id" -o State 2>/dev/null) || return 0
    # "CANCELLED by 1000"; the last line is the last attempt.
    told=${told##*"
"}
    [ -z "$told" ] || state=$told
}
