# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Which job has which GPUs. A lease is a lock (lock.sh) named after a device: it is held for as long
# as its job is live, needs no giving back, and outlives an engine or a supervisor that is started
# anew. Devices on which something else computes are passed over, whoever's it is.

# mlcr_lease JOB N [DEVICE...]: lease N GPUs, of those with these numbers or UUIDs (none: of all), for
# a claimed JOB: all or none. Tells each as "gpu=INDEX UUID"; status 16 where too few are free, with
# "free" and "total"; 127 where nobody knows of any.
mlcr_lease() {
    command -v nvidia-smi >/dev/null 2>&1 || return 127
    mlcr_jobs=${1%/*}
    mlcr_leases=${mlcr_jobs%/*}/leases
    [ -d "$mlcr_leases" ] || mkdir -m 0700 -- "$mlcr_leases" 2>/dev/null ||
        [ -d "$mlcr_leases" ] || return 1
    mlcr_alone "$mlcr_leases/taking" || return 1
    mlcr_take "$@"
    mlcr_status=$?
    rmdir -- "$mlcr_leases/taking"
    return $mlcr_status
}

# mlcr_alone DIRECTORY: make a directory that only one can have, for a moment; one that is a minute
# old was left by somebody who died.
mlcr_alone() {
    mlcr_tries=0
    until mkdir -- "$1" 2>/dev/null; do
        [ $mlcr_tries -lt 60 ] || return 1
        mlcr_tries=$((mlcr_tries + 1))
        [ -z "$(find "$1" -prune -mmin +1 2>/dev/null)" ] || rmdir -- "$1" 2>/dev/null || :
        sleep 1
    done
}

# mlcr_take JOB N [DEVICE...]: see mlcr_lease; nobody else takes any meanwhile.
mlcr_take() {
    mlcr_job=$1
    mlcr_wanted=$2
    shift 2
    mlcr_all=$(mlcr_limited 30 nvidia-smi --query-gpu=index,uuid --format=csv,noheader) || return 127
    mlcr_used=$(mlcr_limited 30 nvidia-smi --query-compute-apps=gpu_uuid --format=csv,noheader) ||
        mlcr_used=
    mlcr_chosen=
    mlcr_free=0
    mlcr_total=0
    while IFS=', ' read -r mlcr_index mlcr_gpu; do
        mlcr_is_named "$mlcr_index" "$mlcr_gpu" "$@" || continue
        mlcr_total=$((mlcr_total + 1))
        mlcr_is_free "$mlcr_gpu" || continue
        mlcr_free=$((mlcr_free + 1))
        [ $mlcr_free -gt "$mlcr_wanted" ] || mlcr_chosen="$mlcr_chosen $mlcr_index,$mlcr_gpu"
    done <<EOT
$mlcr_all
EOT
    if [ $mlcr_free -lt "$mlcr_wanted" ]; then
        mlcr_fact free "$mlcr_free"
        mlcr_fact total "$mlcr_total"
        return 16
    fi
    for mlcr_one in $mlcr_chosen; do
        mlcr_lock "$mlcr_leases/${mlcr_one#*,}" "$mlcr_jobs" "${mlcr_job##*/}" || return 1
        mlcr_fact gpu "${mlcr_one%%,*} ${mlcr_one#*,}"
    done
}

# mlcr_is_named INDEX UUID [DEVICE...]: whether the device is one of these; of none, every one is.
mlcr_is_named() {
    case $2 in
    GPU-* | MIG-*) ;;
    *) return 1 ;; # what a driver without devices says is no device
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

# mlcr_is_free UUID: whether no live job but mlcr_job has the device, and nothing computes on it.
mlcr_is_free() {
    mlcr_chain "$mlcr_leases/$1"
    [ "$mlcr_holder" != "${mlcr_job##*/}" ] || return 0
    [ -z "$mlcr_holder" ] || ! mlcr_is_live "$mlcr_jobs/$mlcr_holder" || return 1
    case $mlcr_used in
    *"$1"*) return 1 ;;
    esac
}
