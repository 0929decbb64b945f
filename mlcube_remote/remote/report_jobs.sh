# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Reports about tasks and jobs, as records. Called by jobs/ to follow, list and attach to jobs.

# mlcr_report_task JOB N [order]: report the state of the Nth task: its exit code ("pending" until it
# ends), whether the supervisor is alive, the sizes of its logs and, with "order", their order, its
# times, and what the engine reports.
mlcr_report_task() {
    mlcr_dir=$1/tasks/$2
    mlcr_read_exit "$mlcr_dir"
    mlcr_print_record exit "$mlcr_exit"
    # The supervisor matters only for a task that has not ended.
    if [ "$mlcr_exit" != pending ] || mlcr_is_supervisor_alive "$1"; then
        mlcr_print_record alive yes
    else
        mlcr_print_record alive no
        [ -e "$1/scheduler" ] || mlcr_report_unsupervised_task "$1"
    fi
    [ ! -e "$1/scheduler" ] || /bin/sh "$1/scheduler" report "$1"
    wc -c "$mlcr_dir/stdout" "$mlcr_dir/stderr" | {
        read -r mlcr_log_size _
        mlcr_print_record stdout "$mlcr_log_size"
        read -r mlcr_log_size _
        mlcr_print_record stderr "$mlcr_log_size"
    }
    [ -z "${3-}" ] || mlcr_report_log_order "$mlcr_dir"
    mlcr_report_times "$mlcr_dir"
    [ ! -s "$mlcr_dir/inspect" ] ||
        mlcr_print_line_record inspect "$mlcr_dir/inspect"
    for mlcr_file_name in "$mlcr_dir"/inspect.*,*,*; do
        [ ! -e "$mlcr_file_name" ] ||
            mlcr_print_record inspect "$(mlcr_split_commas "${mlcr_file_name##*/inspect.}")"
    done
    case $mlcr_exit in
    0 | pending) ;;
    # An engine that cannot start the task writes the reason to the task's stderr.
    *) mlcr_print_record tail "$(tail -c 4096 -- "$mlcr_dir/stderr" | tr -d '\000')" ;;
    esac
    [ ! -e "$1/stop" ] || mlcr_print_record stop yes
    [ ! -e "$mlcr_dir/timedout" ] || mlcr_print_record timedout yes
    [ ! -e "$mlcr_dir/hung" ] || mlcr_print_record hung yes
    [ ! -e "$mlcr_dir/cut" ] || mlcr_print_record cut yes
    [ ! -e "$mlcr_dir/degraded" ] || mlcr_print_record log degraded
    [ ! -e "$mlcr_dir/foreign" ] ||
        mlcr_print_line_record foreign "$mlcr_dir/foreign"
    for mlcr_item in refused unsafe unreturned; do
        [ ! -e "$mlcr_dir/$mlcr_item" ] ||
            mlcr_print_line_record "$mlcr_item" "$mlcr_dir/$mlcr_item"
    done
    [ ! -e "$mlcr_dir/outputs" ] || mlcr_report_states "$mlcr_dir"
    [ ! -e "$mlcr_dir/stale" ] || mlcr_print_record stale yes
    [ ! -e "$mlcr_dir/removed" ] || mlcr_print_record container absent
    [ ! -e "$mlcr_dir/restarted" ] || mlcr_print_record engine restarted
}

# mlcr_report_unsupervised_task JOB: report what is known of task mlcr_dir, whose supervisor is not
# running on this machine.
mlcr_report_unsupervised_task() {
    if mlcr_is_on_other_node "$1/owner"; then
        mlcr_print_record node "$mlcr_other_node"
    elif [ -n "$mlcr_boot_id" ] && mlcr_read_boot_id &&
        [ "$mlcr_boot_id" != "$mlcr_this_boot_id" ]; then
        mlcr_print_record boot changed
    elif [ -e "$mlcr_dir/started" ]; then
        mlcr_print_record container "$(mlcr_print_container_state "$mlcr_dir")"
    fi
}

# mlcr_report_times DIRECTORY: report when the task started and ended, in seconds since the epoch,
# with milliseconds if the host's date(1) knows them.
mlcr_report_times() {
    for mlcr_item in started finished; do
        [ -s "$1/$mlcr_item" ] || continue
        mlcr_fraction=
        {
            read -r mlcr_seconds
            read -r mlcr_fraction || :
        } <"$1/$mlcr_item"
        case $mlcr_fraction in
        *[!0-9]*) ;;
        ???*) mlcr_seconds=$mlcr_seconds.${mlcr_fraction%"${mlcr_fraction#???}"} ;;
        esac
        mlcr_print_record "$mlcr_item" "$mlcr_seconds"
    done
}

# mlcr_split_commas LIST: print the items of a comma-separated list.
mlcr_split_commas() (
    IFS=,
    # shellcheck disable=SC2086 # words
    set -- $1
    IFS=' '
    printf '%s ' "$@"
)

# mlcr_report_jobs ROOT [all]: report each job below ROOT; without "all", omit jobs that have ended.
# Then report their requests, as "ID TEXT". A user may have thousands of jobs, so no process is
# started for a job that has ended, and no shell reads the long requests: it reads byte by byte.
mlcr_report_jobs() {
    mlcr_expand_home "$1"
    mlcr_jobs=$mlcr_expanded/jobs
    mlcr_read_file_clock "$mlcr_jobs"
    # An engine that hangs costs this time for each job whose state only the engine knows.
    mlcr_timeout_s=5
    mlcr_claims=$(mlcr_list_claims "$mlcr_jobs")
    mlcr_id=
    mlcr_requests=
    while read -r mlcr_next_id mlcr_next_time <&3; do
        [ "$mlcr_next_id" = "$mlcr_id" ] || mlcr_report_job "${2-}"
        mlcr_id=$mlcr_next_id
        mlcr_claimed_at=$mlcr_next_time
    done 3<<EOF
$mlcr_claims
EOF
    mlcr_report_job "${2-}"
    mlcr_report_requests
}

# mlcr_list_claims DIRECTORY: print a line "ID 0" for each job in DIRECTORY, then "ID TIME" if the
# time of its claim is known.
mlcr_list_claims() (
    cd -- "$1" 2>/dev/null || exit 0
    # Names are sorted as a whole, so those of one job must not be apart: their lines are sorted.
    {
        printf '%s 0\n' *
        printf '%s\0' */request | xargs -0 stat -c '%n %Y' -- 2>/dev/null |
            sed 's|/request | |'
    } | LC_ALL=C sort
)

# mlcr_report_job [all]: report job mlcr_id, which was claimed at mlcr_claimed_at, if it exists.
mlcr_report_job() {
    mlcr_job=$mlcr_jobs/$mlcr_id
    [ -n "$mlcr_id" ] && [ -d "$mlcr_job" ] || return 0
    mlcr_find_job_state "$mlcr_job"
    [ "$mlcr_job_state" != ended ] || [ -n "$1" ] || return 0
    mlcr_print_record job "$mlcr_id"
    mlcr_print_record state "$mlcr_job_state"
    [ "$mlcr_job_state" != lost ] || mlcr_report_loss "$mlcr_job"
    [ ! -e "$mlcr_job/stop" ] || mlcr_print_record stop yes
    [ "$mlcr_claimed_at" != 0 ] || mlcr_claimed_at=$mlcr_now
    mlcr_print_record age $((mlcr_now - mlcr_claimed_at))
    [ ! -s "$mlcr_job/preparing" ] || mlcr_requests="$mlcr_requests./$mlcr_id/request
"
    [ ! -e "$mlcr_job/scheduler" ] || [ ! -d "$mlcr_job/tasks" ] ||
        /bin/sh "$mlcr_job/scheduler" report "$mlcr_job"
    mlcr_report_tasks "$mlcr_job"
}

# mlcr_report_requests: report the requests in mlcr_requests.
mlcr_report_requests() {
    [ -n "$mlcr_requests" ] || return 0
    cd -- "$mlcr_jobs" || return 1
    printf '%s' "$mlcr_requests" | tr '\n' '\000' | xargs -0 grep -H '' -- 2>/dev/null |
        LC_ALL=C sed 's|^\./\([^/]*\)/request:|request=\1 |' | tr '\n' '\000'
}

# mlcr_report_loss JOB: report why JOB is lost: "reboot", or "gone" if nothing of it is left.
mlcr_report_loss() {
    mlcr_lost=gone
    # The task of a job that was claimed and has no owner yet never ran.
    if [ -s "$1/owner" ] && mlcr_read_boot_id; then
        read -r mlcr_boot_id _ <"$1/owner"
        [ "$mlcr_boot_id" = "$mlcr_this_boot_id" ] || mlcr_lost=reboot
    fi
    mlcr_print_record lost "$mlcr_lost"
}

# mlcr_report_tasks JOB: report the name, exit code and times of each task, and why it failed if its
# program did not fail.
mlcr_report_tasks() {
    mlcr_number=1
    while [ -d "$1/tasks/$mlcr_number" ]; do
        mlcr_dir=$1/tasks/$mlcr_number
        mlcr_read_exit "$mlcr_dir"
        mlcr_print_line_record task "$mlcr_dir/name"
        mlcr_print_record exit "$mlcr_exit"
        mlcr_report_times "$mlcr_dir"
        case $mlcr_exit in
        0 | pending) ;;
        *)
            mlcr_report_killed "$mlcr_dir"
            for mlcr_item in refused unsafe unreturned stale; do
                [ ! -e "$mlcr_dir/$mlcr_item" ] || mlcr_print_record failed "$mlcr_item"
            done
            ;;
        esac
        mlcr_number=$((mlcr_number + 1))
    done
}

# mlcr_report_killed DIRECTORY: report what killed a task that ended with mlcr_exit, if anything
# did.
mlcr_report_killed() {
    mlcr_code=
    mlcr_oom=
    [ ! -s "$1/inspect" ] || read -r _ mlcr_code mlcr_oom _ <"$1/inspect"
    for mlcr_file_name in "$1"/inspect.*,137,true; do
        [ ! -e "$mlcr_file_name" ] || mlcr_code=137 mlcr_oom=true
    done
    if [ -e "$1/timedout" ]; then
        mlcr_print_record killed time
    elif [ "$mlcr_code $mlcr_oom" = '137 true' ]; then
        mlcr_print_record killed memory
    elif [ -e "$1/restarted" ]; then
        case ${mlcr_code:-137} in 137 | 143) mlcr_print_record killed engine ;; esac
    fi
}

# mlcr_report_holder JOB: report the job that holds a lock.
mlcr_report_holder() {
    mlcr_print_record holder "${1##*/}"
    mlcr_print_record state "$(mlcr_print_job_state "$1")"
    [ ! -s "$1/request" ] || mlcr_print_line_record request "$1/request"
    mlcr_report_node "$1"
}

# mlcr_report_node JOB: report the machine of a job if it is another one that shares this home.
mlcr_report_node() {
    for mlcr_file in "$1/owner" "$1/preparing"; do
        [ -s "$mlcr_file" ] || continue
        ! mlcr_is_on_other_node "$mlcr_file" || mlcr_print_record node "$mlcr_other_node"
        return 0
    done
}
