# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Which job has which GPUs. Called by facts/ for a claimed job. Among the jobs below one root, a
# lease is a lock (lock.sh) with the name of a device: the job holds it while it is live, need not
# release it, and keeps it if the engine or the supervisor restarts. Other users and other roots
# learn of it through gpu_registry.sh. Devices with running processes, and devices in the labels of
# running containers, are not leased either.

# mlcr_lease_gpus JOB N ENGINE [DEVICE...]: lease N GPUs for a claimed JOB, all or none, from those
# with these numbers or UUIDs (none given: from all). ENGINE is the engine's command as shell words,
# or nothing. Report each as "gpu=INDEX UUID". Status 16: too few are free ("free" and "total" are
# reported); 18: another client is leasing some of them now; 127: no driver can be asked.
mlcr_lease_gpus() {
    command -v nvidia-smi >/dev/null 2>&1 || return 127
    mlcr_job=$1
    mlcr_jobs=${1%/*}
    mlcr_leases=${mlcr_jobs%/*}/leases
    mlcr_make_directory "$mlcr_leases" || return 1
    mlcr_acquire_mutex "$mlcr_leases/taking" || return 18
    shift
    mlcr_lease_exclusively "$@"
    mlcr_status=$?
    rmdir -- "$mlcr_leases/taking"
    return $mlcr_status
}

# mlcr_acquire_mutex DIRECTORY: create a directory that only one client at a time can have. A minute
# after its creation (two minutes with busybox) its client has died, so it is removed; that is
# earlier than the other clients stop waiting.
mlcr_acquire_mutex() {
    mlcr_tries=0
    until mkdir -- "$1" 2>/dev/null; do
        [ $mlcr_tries -lt 125 ] || return 1
        mlcr_tries=$((mlcr_tries + 1))
        [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ] || rmdir -- "$1" 2>/dev/null || :
        sleep 1
    done
}

# mlcr_lease_exclusively N ENGINE [DEVICE...]: do the work of mlcr_lease_gpus while no other job of
# this root leases GPUs. If two users lease the same GPU at once, each sees the other's announcement
# and withdraws its own; their clients retry after random delays.
mlcr_lease_exclusively() {
    mlcr_requested=$1
    mlcr_gpu_list=$(mlcr_run_limited 30 nvidia-smi --query-gpu=index,uuid --format=csv,noheader) ||
        return 127
    mlcr_busy_gpus=$(
        mlcr_run_limited 30 nvidia-smi --query-compute-apps=gpu_uuid --format=csv,noheader
    ) || mlcr_busy_gpus=
    mlcr_busy_gpus="$mlcr_busy_gpus $(mlcr_list_labelled_gpus "$2")"
    shift 2
    mlcr_read_user
    mlcr_remove_stale_announcements "$mlcr_jobs"
    if ! mlcr_choose_gpus "$@"; then
        mlcr_print_record free "$mlcr_free"
        mlcr_print_record total "$mlcr_total"
        return 16
    fi
    mlcr_write_atomically "$mlcr_job/gpus" "$mlcr_uuids" &&
        mlcr_announce_gpus "$mlcr_job" || return 1
    # shellcheck disable=SC2086 # words
    if ! mlcr_is_announced_by_others "$mlcr_jobs" $mlcr_uuids; then
        mlcr_lock_gpus
        return
    fi
    mlcr_withdraw_gpus "$mlcr_job"
    rm -f -- "$mlcr_job/gpus"
    return 18
}

# mlcr_lock_gpus: lock the chosen GPUs and report them.
mlcr_lock_gpus() {
    for mlcr_pair in $mlcr_chosen; do
        mlcr_acquire_lock "$mlcr_leases/${mlcr_pair#*,}" "$mlcr_jobs" "${mlcr_job##*/}" || return 1
        mlcr_print_record gpu "${mlcr_pair%%,*} ${mlcr_pair#*,}"
    done
}

# mlcr_list_labelled_gpus ENGINE: print the GPUs in the labels of running containers of any user.
mlcr_list_labelled_gpus() {
    [ -n "$1" ] || return 0
    mlcr_label=org.mlcommons.mlcube-remote.gpus
    # The client quoted the words.
    eval "set -- $1"
    mlcr_ids=$(mlcr_run_limited 30 "$@" ps --quiet --filter "label=$mlcr_label" 2>/dev/null) ||
        return 0
    [ -n "$mlcr_ids" ] || return 0
    # shellcheck disable=SC2086 # words
    mlcr_run_limited 30 "$@" inspect --type container \
        --format "{{index .Config.Labels \"$mlcr_label\"}}" -- $mlcr_ids 2>/dev/null || :
}

# mlcr_choose_gpus [DEVICE...]: set mlcr_chosen to "INDEX,UUID" of mlcr_requested free devices,
# mlcr_uuids to their UUIDs, and mlcr_free and mlcr_total to the numbers of free and of all devices;
# fail if too few are free.
mlcr_choose_gpus() {
    mlcr_chosen=
    mlcr_uuids=
    mlcr_free=0
    mlcr_total=0
    while IFS=', ' read -r mlcr_index mlcr_gpu; do
        mlcr_is_allowed_gpu "$mlcr_index" "$mlcr_gpu" "$@" || continue
        mlcr_total=$((mlcr_total + 1))
        mlcr_is_free_gpu "$mlcr_gpu" || continue
        mlcr_free=$((mlcr_free + 1))
        [ $mlcr_free -le "$mlcr_requested" ] || continue
        mlcr_chosen="$mlcr_chosen $mlcr_index,$mlcr_gpu"
        mlcr_uuids="$mlcr_uuids$mlcr_gpu "
    done <<EOT
$mlcr_gpu_list
EOT
    [ $mlcr_free -ge "$mlcr_requested" ]
}

# mlcr_is_allowed_gpu INDEX UUID [DEVICE...]: whether the device is in this list; an empty list
# allows every device.
mlcr_is_allowed_gpu() {
    case $2 in
    GPU-* | MIG-*) ;;
    *) return 1 ;; # a message of a driver without devices
    esac
    [ $# -gt 2 ] || return 0
    mlcr_index=$1
    mlcr_gpu=$2
    shift 2
    for mlcr_name in "$@"; do
        [ "$mlcr_name" != "$mlcr_index" ] && [ "$mlcr_name" != "$mlcr_gpu" ] || return 0
    done
    return 1
}

# mlcr_is_free_gpu UUID: whether only mlcr_job or no live job has the device, and no process uses
# it.
mlcr_is_free_gpu() {
    mlcr_read_chain "$mlcr_leases/$1"
    [ "$mlcr_holder" != "${mlcr_job##*/}" ] || return 0
    [ -z "$mlcr_holder" ] || ! mlcr_is_live "$mlcr_jobs/$mlcr_holder" || return 1
    ! mlcr_is_announced_by_others "$mlcr_jobs" "$1" || return 1
    case $mlcr_busy_gpus in
    *"$1"*) return 1 ;;
    esac
}
