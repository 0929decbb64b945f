# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# The current load of the host. What the host does not report is omitted. Called by facts/ for
# "hosts top".

# mlcr_report_usage ROOT: report load, processors, memory and disk (in KiB), the number of live
# jobs, each GPU as nvidia-smi shows it, the jobs that lease GPUs, and the users that compute on
# them.
mlcr_report_usage() {
    mlcr_expand_home "$1"
    mlcr_root=$mlcr_expanded
    [ ! -r /proc/loadavg ] || mlcr_print_record load "$(mlcr_print_line /proc/loadavg)"
    ! mlcr_value=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || mlcr_print_record cpus "$mlcr_value"
    [ ! -r /proc/meminfo ] || while read -r mlcr_key mlcr_kib _; do
        case $mlcr_key in
        MemTotal:) mlcr_print_record memory "$mlcr_kib" ;;
        MemAvailable:) mlcr_print_record available "$mlcr_kib" ;;
        esac
    done </proc/meminfo
    mlcr_file_system=$mlcr_root
    [ -d "$mlcr_file_system" ] || mlcr_file_system=$HOME
    # df -P prints one line per file system, whatever its name.
    df -Pk -- "$mlcr_file_system" 2>/dev/null | {
        read -r _
        read -r _ mlcr_kib _ mlcr_free _ &&
            mlcr_print_record disk "$mlcr_kib" && mlcr_print_record free "$mlcr_free"
    }
    mlcr_count=0
    for mlcr_job in "$mlcr_root"/jobs/*; do
        [ ! -d "$mlcr_job" ] || ! mlcr_is_live "$mlcr_job" || mlcr_count=$((mlcr_count + 1))
    done
    mlcr_print_record jobs "$mlcr_count"
    mlcr_report_gpu_usage "$mlcr_root"
}

# mlcr_report_gpu_usage ROOT: report each GPU, its lease below ROOT, and the processes that use it.
mlcr_report_gpu_usage() {
    command -v nvidia-smi >/dev/null 2>&1 || return 0
    mlcr_run_limited 30 nvidia-smi --format=csv,noheader,nounits \
        --query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu |
        while IFS= read -r mlcr_gpu; do mlcr_print_record gpu "$mlcr_gpu"; done
    for mlcr_lease_lock in "$1"/leases/*; do
        [ -d "$mlcr_lease_lock" ] || continue
        mlcr_read_chain "$mlcr_lease_lock"
        if [ -n "$mlcr_holder" ] && mlcr_is_live "$1/jobs/$mlcr_holder"; then
            mlcr_print_record lease "${mlcr_lease_lock##*/} $mlcr_holder"
        fi
    done
    mlcr_report_foreign_gpus "$1/jobs"
    mlcr_run_limited 30 nvidia-smi --query-compute-apps=gpu_uuid,pid --format=csv,noheader |
        while IFS=', ' read -r mlcr_gpu mlcr_pid; do
            mlcr_print_record process "$mlcr_gpu $mlcr_pid $(mlcr_print_owner "/proc/$mlcr_pid")"
        done
    return 0
}

# mlcr_report_foreign_gpus JOBS: report GPUs that jobs outside JOBS have announced, as if these jobs
# were already computing.
mlcr_report_foreign_gpus() {
    mlcr_find_registry || return 0
    for mlcr_announcement in "$mlcr_registry_prefix"*=*; do
        mlcr_is_foreign_announcement "$mlcr_announcement" "$1" || continue
        mlcr_fields=${mlcr_announcement#"$mlcr_registry_prefix"}
        mlcr_print_record process "${mlcr_fields%%=*} - $(mlcr_print_owner "$mlcr_announcement")"
    done
}

# mlcr_print_owner PATH: print the owner; ps and POSIX have no better way.
mlcr_print_owner() {
    # shellcheck disable=SC2012 # only its third field is read
    ls -ld -- "$1" 2>/dev/null | { read -r _ _ mlcr_user _ && printf '%s' "$mlcr_user"; }
}
