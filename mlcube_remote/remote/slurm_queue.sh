# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Ask Slurm about batch jobs, and rarely: login nodes are shared. Part of the program slurm.sh, which
# lists the files.

# find_leader JOB: set lead to the job whose directory has the files of the batch job: JOB itself,
# unless its batch job runs several jobs.
find_leader() {
    lead=$1
    [ -s "$1/slurm/leader" ] || return 0
    read -r lead <"$1/slurm/leader"
    lead=${1%/*}/$lead
}

# read_id JOB: set id to the batch job that runs the tasks, or else to the one that was submitted;
# nothing: not known.
read_id() {
    id=
    find_leader "$1"
    for id_file in "$1/slurm/claimed" "$1/slurm/id" "$lead/slurm/id"; do
        [ ! -s "$id_file" ] || read -r id <"$id_file"
        case $id in
        '' | *[!0-9]*) id= ;;
        *) return 0 ;;
        esac
    done
}

# read_queue JOB SECONDS: set answer to "ok" and listing to what Slurm says of the user's jobs, at
# most SECONDS old (-1: asked after this moment): lines "ID STATE REASON". Set answer to "silent" if
# it says nothing, asked to the time of the answer, and is_fresh if this shell asked. The answer is
# kept in a file for all jobs: a line "TIME ANSWER", then the listing. One shell asks at a time.
read_queue() {
    queue=${1%/jobs/*}/slurm-queue
    is_fresh=
    began=$(date +%s)
    now=$began
    waited_s=0
    while :; do
        ! read_kept_answer "$2" || return 0
        ! mkdir -- "$queue.lock" 2>/dev/null || break
        # On a full disk, each job asks for itself.
        [ -d "$queue.lock" ] && [ $waited_s -lt 40 ] || break
        # While another shell asks, the answer before counts a little longer.
        [ "$2" -lt 0 ] || ! read_kept_answer $(($2 + 35)) || return 0
        [ -z "$(find "$queue.lock" -prune -mmin +1 2>/dev/null)" ] ||
            rmdir -- "$queue.lock" 2>/dev/null
        sleep 1
        waited_s=$((waited_s + 1))
        now=$(date +%s)
    done
    asked=$now
    is_fresh=yes
    mlcr_read_user
    answer=ok
    listing=$(mlcr_run_limited 30 squeue -h -t all -u "$mlcr_uid" -o '%i %T %r' 2>/dev/null) ||
        answer=silent
    { printf '%s\n' "$now $answer" "$listing" >"$queue.$$" && mv -f -- "$queue.$$" "$queue"; } \
        2>/dev/null
    rmdir -- "$queue.lock" 2>/dev/null
}

# read_kept_answer SECONDS: set answer, listing and asked to those of the file queue; fail if they
# are older than SECONDS (-1: not younger than began).
read_kept_answer() {
    asked=0
    answer=
    [ ! -s "$queue" ] || read -r asked answer <"$queue"
    case $asked in
    '' | *[!0-9]*) return 1 ;;
    esac
    oldest_s=$1
    # A controller that restarts is back soon.
    [ "$answer" != silent ] || [ "$oldest_s" -lt 5 ] || oldest_s=5
    [ "$asked" -le "$now" ] && [ $((now - asked)) -le "$oldest_s" ] ||
        { [ "$oldest_s" -lt 0 ] && [ "$asked" -gt "$began" ] && [ "$asked" -le "$now" ]; } ||
        return 1
    listing=$(cat "$queue")
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
        # Without this file, nothing was submitted.
        [ -e "$lead/slurm/submitting" ] || return 0
        find_by_name "$lead"
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
    # The jobs that run before it show that the batch job has started.
    [ -s "$1/owner" ] || [ -e "$lead/slurm/started" ] || max_age=10
    [ ! -e "$1/stop" ] || max_age=1
    read_queue "$1" "$max_age"
    find_in_queue
    [ "$state" = ABSENT ] || return 0
    if was_submitted_after_answer "$lead"; then
        state=PENDING
    elif [ -z "$is_fresh" ]; then
        read_queue "$1" -1
        find_in_queue
    fi
}

# was_submitted_after_answer JOB: whether the job is newer than the answer of read_queue.
was_submitted_after_answer() {
    [ -s "$1/slurm/submitted" ] || return 1
    read -r submitted_at <"$1/slurm/submitted"
    [ "$submitted_at" -ge $((asked - 1)) ]
}

# ask_accounting: set state to what the accounting says about the end of batch job id, if there is
# an accounting, and it knows the end.
ask_accounting() {
    command -v sacct >/dev/null 2>&1 || return 0
    told=$(mlcr_run_limited 30 sacct -n -X -P -j "$id" -o State 2>/dev/null) || return 0
    # "CANCELLED by 1000"; the last line is the last attempt.
    told=${told##*"
"}
    case $told in
    # It learned of the start, and not yet of the end; or Slurm has lost the job.
    '' | PENDING | RUNNING | REQUEUED | RESIZING | SUSPENDED) return 0 ;;
    'CANCELLED by '*[!0-9]*) ;;
    'CANCELLED by '*)
        canceller=$(id -nu "${told##* }" 2>/dev/null) && told="CANCELLED by $canceller"
        ;;
    esac
    [ "$state" = ABSENT ] || case $told in CANCELLED*) ;; *) return 0 ;; esac
    state=$told
}
