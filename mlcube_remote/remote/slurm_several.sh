# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Several jobs share one batch job: sites do not like hundreds of batch jobs of two minutes each. Part
# of the program slurm.sh, which lists the files.

# stop_one_of_several JOB GRACE: end one of several jobs that share a batch job, and let the others
# run.
stop_one_of_several() {
    rm -f -- "$1/slurm/environment"
    [ -s "$1/slurm/leader" ] || return 0
    find_leader "$1"
    # The first claim decides: that of this shell, or that of the compute node.
    if claim "$1" stopped; then
        cancel_if_none_is_left "$1"
        return
    fi
    read_id "$1"
    mlcr_run_limited 30 scancel --batch --signal=USR1 "$id" 2>/dev/null
    wait_for_end "$1" $(($2 + 5))
}

# cancel_if_none_is_left JOB: take the batch job out of the queue if all of its jobs were stopped.
cancel_if_none_is_left() {
    [ -s "$lead/slurm/members" ] || return 0
    while read -r member; do
        [ -s "${lead%/*}/$member/slurm/claimed" ] || return 0
    done <"$lead/slurm/members"
    read_id "$1"
    [ -n "$id" ] || find_by_name "$lead" || return 0
    read_id "$1"
    mlcr_run_limited 30 scancel --state=PENDING "$id" 2>/dev/null
    return 0
}

# is_stopped_before_start JOB: whether the job was stopped while others of its batch job ran, or
# before it was submitted with them.
is_stopped_before_start() {
    [ -e "$1/stop" ] || return 1
    if [ -s "$1/slurm/claimed" ]; then
        read -r claimant <"$1/slurm/claimed"
        [ "$claimant" = stopped ]
    else
        [ ! -s "$1/slurm/options" ] && [ ! -s "$1/slurm/leader" ]
    fi
}

# waits_for_others JOB: whether the job waits for others of its batch job, which run before it.
waits_for_others() {
    [ -s "$1/slurm/leader" ] && [ ! -s "$1/slurm/claimed" ]
}

# is_held_by_client JOB: whether the client that launched the job still waits for others, to submit
# them together.
is_held_by_client() {
    [ ! -s "$1/slurm/options" ] && [ -s "$1/preparing" ] || return 1
    read -r owner_boot owner_pid owner_time owner_node <"$1/preparing"
    mlcr_read_node
    [ "$owner_node" = "$mlcr_node" ] && mlcr_is_process_alive "$owner_boot" "$owner_pid" "$owner_time"
}
