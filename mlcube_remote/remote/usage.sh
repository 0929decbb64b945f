# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# How busy the host is. What it does not tell is left out.

# mlcr_top ROOT: tell load, processors, memory and disk (in KiB), how many jobs are live, each GPU as
# nvidia-smi has it, which job has leased it, and who computes on it.
mlcr_top() {
    mlcr_root=$(mlcr_expand "$1")
    [ ! -r /proc/loadavg ] || mlcr_fact load "$(mlcr_line /proc/loadavg)"
    ! mlcr_read=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || mlcr_fact cpus "$mlcr_read"
    [ ! -r /proc/meminfo ] || while read -r mlcr_key mlcr_kib _; do
        case $mlcr_key in
        MemTotal:) mlcr_fact memory "$mlcr_kib" ;;
        MemAvailable:) mlcr_fact available "$mlcr_kib" ;;
        esac
    done </proc/meminfo
    mlcr_at=$mlcr_root
    [ -d "$mlcr_at" ] || mlcr_at=$HOME
    # df -P promises one line for a file system, whatever its name.
    df -Pk -- "$mlcr_at" 2>/dev/null | {
        read -r _
        read -r _ mlcr_kib _ mlcr_free _ && mlcr_fact disk "$mlcr_kib" && mlcr_fact free "$mlcr_free"
    }
    mlcr_count=0
    for mlcr_one in "$mlcr_root"/jobs/*; do
        [ ! -d "$mlcr_one" ] || ! mlcr_is_live "$mlcr_one" || mlcr_count=$((mlcr_count + 1))
    done
    mlcr_fact jobs "$mlcr_count"
    mlcr_top_gpus "$mlcr_root"
}

mlcr_top_gpus() {
    command -v nvidia-smi >/dev/null 2>&1 || return 0
    mlcr_limited 30 nvidia-smi --format=csv,noheader,nounits \
        --query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu |
        while IFS= read -r mlcr_gpu; do mlcr_fact gpu "$mlcr_gpu"; done
    for mlcr_one in "$1"/leases/*; do
        [ -d "$mlcr_one" ] || continue
        mlcr_chain "$mlcr_one"
        if [ -n "$mlcr_holder" ] && mlcr_is_live "$1/jobs/$mlcr_holder"; then
            mlcr_fact lease "${mlcr_one##*/} $mlcr_holder"
        fi
    done
    mlcr_top_others "$1/jobs"
    mlcr_limited 30 nvidia-smi --query-compute-apps=gpu_uuid,pid --format=csv,noheader |
        while IFS=', ' read -r mlcr_gpu mlcr_pid; do
            mlcr_fact process "$mlcr_gpu $mlcr_pid $(mlcr_owner_of "/proc/$mlcr_pid")"
        done
    return 0
}

# mlcr_top_others JOBS: tell who has GPUs for jobs that are not in JOBS, as if they computed already.
mlcr_top_others() {
    mlcr_know_common || return 0
    for mlcr_told in "$mlcr_common"*=*; do
        mlcr_is_anothers "$mlcr_told" "$1" || continue
        mlcr_one=${mlcr_told#"$mlcr_common"}
        mlcr_fact process "${mlcr_one%%=*} - $(mlcr_owner_of "$mlcr_told")"
    done
}

# mlcr_owner_of PATH: print the user; neither ps nor POSIX has a better way.
mlcr_owner_of() {
    # shellcheck disable=SC2012 # only its third field is read
    ls -ld -- "$1" 2>/dev/null | { read -r _ _ mlcr_user _ && printf '%s' "$mlcr_user"; }
}
