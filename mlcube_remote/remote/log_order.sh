# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# The order of what a task writes to standard output and standard error. Both have a file of their
# own, byte for byte; beside them, the supervisor records in which order and when the files grew. It
# looks at the positions of the two processes that write them, and at the clock of /proc/uptime, which
# starts no process but sleep(1). Files of a task:
#
#   stdout.writer, stderr.writer  process ids of the writers
#   order                         lines "STDOUT STDERR": sizes of the files at some moments; between
#                                 two moments, standard output came first
#   times                         lines "TIME STDOUT STDERR": the sizes at that time, in seconds since
#                                 the epoch; what came after the line before, came at that time

# mlcr_note_writer LOG: note that this process writes LOG.
mlcr_note_writer() {
    { read -r mlcr_self _ </proc/self/stat && echo "$mlcr_self" >"$1.writer"; } 2>/dev/null
}

# mlcr_read_position LOG: set mlcr_position to the size of LOG; fail if its writer has ended.
mlcr_read_position() {
    mlcr_position=
    { read -r mlcr_pid <"$1.writer" && read -r _ mlcr_position <"/proc/$mlcr_pid/fdinfo/1"; } \
        2>/dev/null || return 1
    case $mlcr_position in
    '' | *[!0-9]*) return 1 ;;
    esac
}

# mlcr_record_order DIRECTORY: after mlcr_start_clock, record the order until this process is
# terminated, or one of the writers has ended. The files are looked at every fifth of a second, in
# the first second more often, and after ten seconds without output once a second. Times are recorded
# once a second, and after some hours of output once in ten seconds.
mlcr_record_order() {
    exec </dev/null >/dev/null 2>&1 9>&-
    mlcr_dir=$1
    mlcr_stdout=0
    mlcr_stderr=0
    mlcr_looks=0
    mlcr_entries=0
    mlcr_idle=0
    mlcr_has_stderr=
    mlcr_since=
    mlcr_times=0
    mlcr_step_s=1
    trap 'mlcr_look_last; exit 0' TERM
    while [ "$mlcr_entries" -lt 500000 ]; do
        mlcr_sleep_between_looks
        mlcr_looks=$((mlcr_looks + 1))
        if ! [ -s "$mlcr_dir/stdout.writer" ] || ! [ -s "$mlcr_dir/stderr.writer" ]; then
            # They have not started, or cannot note who they are.
            [ "$mlcr_looks" -lt 600 ] || break
            continue
        fi
        mlcr_read_position "$mlcr_dir/stdout" || break
        mlcr_new_stdout=$mlcr_position
        mlcr_read_position "$mlcr_dir/stderr" || break
        mlcr_note_growth "$mlcr_new_stdout" "$mlcr_position"
        # Then no later growth can be meant.
        [ "$mlcr_idle" -lt 5 ] || mlcr_write_time
    done
    # A writer has ended. If the other one has, too, the supervisor terminates this process.
    sleep 1 &
    wait $! || sleep 1
    mlcr_look_last
}

# mlcr_look_last: record what came since the last look. The writers have ended, so that the sizes of
# the files are their positions.
mlcr_look_last() {
    if [ -f "$mlcr_dir/stdout" ] && [ -f "$mlcr_dir/stderr" ]; then
        # shellcheck disable=SC2046 # words: SIZE, name, SIZE, name
        set -- $(cd -- "$mlcr_dir" && wc -c stdout stderr)
        [ $# -lt 4 ] || mlcr_note_growth "$1" "$3"
    fi
    mlcr_write_entry
    mlcr_write_time
}

# mlcr_sleep_between_looks: wait until the files are looked at again.
mlcr_sleep_between_looks() {
    mlcr_interval=0.2
    if [ "$mlcr_looks" -lt 10 ]; then
        mlcr_interval=0.1
    elif [ "$mlcr_idle" -gt 50 ]; then
        mlcr_interval=1
    fi
    # A signal interrupts wait, but not sleep(1). Not every sleep(1) knows fractions.
    sleep "$mlcr_interval" &
    wait $! || sleep 1
}

# mlcr_note_growth STDOUT STDERR: note the sizes of the files, in an entry if standard output grew
# after standard error.
mlcr_note_growth() {
    mlcr_idle=$((mlcr_idle + 1))
    [ "$1" -ne "$mlcr_stdout" ] || [ "$2" -ne "$mlcr_stderr" ] || return 0
    mlcr_idle=0
    [ "$1" -eq "$mlcr_stdout" ] || mlcr_write_entry
    [ "$2" -eq "$mlcr_stderr" ] || mlcr_has_stderr=yes
    mlcr_stdout=$1
    mlcr_stderr=$2
    mlcr_note_time
}

# mlcr_start_clock FILE: set mlcr_clock to the time when the machine started; empty if it is not
# known. FILE was written now, and its first line is the time in seconds since the epoch.
mlcr_start_clock() {
    mlcr_clock=
    { read -r mlcr_uptime _ </proc/uptime && read -r mlcr_now <"$1"; } 2>/dev/null || return 0
    case $mlcr_now in
    '' | *[!0-9]*) ;;
    *) mlcr_clock=$((mlcr_now - ${mlcr_uptime%%.*})) ;;
    esac
}

# mlcr_note_time: note that the files have grown now. What grows in the same second is one entry.
mlcr_note_time() {
    [ -n "$mlcr_clock" ] && read -r mlcr_uptime _ </proc/uptime || return 0
    mlcr_now=$((mlcr_clock + ${mlcr_uptime%%.*}))
    [ -z "$mlcr_since" ] || [ $((mlcr_now - mlcr_since)) -lt "$mlcr_step_s" ] || mlcr_write_time
    mlcr_since=${mlcr_since:-$mlcr_now}
    mlcr_grown="$mlcr_now $mlcr_stdout $mlcr_stderr"
}

# mlcr_write_time: write what mlcr_note_time has noted, if anything.
mlcr_write_time() {
    [ -n "$mlcr_since" ] || return 0
    mlcr_since=
    [ "$mlcr_times" -lt 100000 ] || return 0
    echo "$mlcr_grown" >>"$mlcr_dir/times"
    mlcr_times=$((mlcr_times + 1))
    [ "$mlcr_times" -lt 20000 ] || mlcr_step_s=10
}

# mlcr_write_entry: write an entry, so that what standard output gets now comes after what standard
# error got before.
mlcr_write_entry() {
    [ -n "$mlcr_has_stderr" ] || return 0
    printf '%s %s\n' "$mlcr_stdout" "$mlcr_stderr" >>"$mlcr_dir/order"
    mlcr_entries=$((mlcr_entries + 1))
    mlcr_has_stderr=
}

# mlcr_report_log_times DIRECTORY: report the recorded times, or the first part of them, and the time
# now.
mlcr_report_log_times() {
    mlcr_print_record now "$(date +%s)"
    [ ! -s "$1/times" ] || mlcr_print_record times "$(head -c 262144 -- "$1/times")"
}

# mlcr_report_log_order DIRECTORY: report the recorded order, or the first part of it.
mlcr_report_log_order() {
    [ ! -s "$1/order" ] || mlcr_print_record order "$(head -c 262144 -- "$1/order")"
}
