# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# shellcheck disable=SC2030,SC2031 # functions that run in a subshell call those that read them
# SPDX-License-Identifier: Apache-2.0
# What a client asks for after the end of a task, in one answer that follows the task's output: the
# report, and the outputs if they are small. Called by the follower of jobs/. A client that cannot
# use the answer asks again, one thing after the other.
#
# The answer is between two markers, and has these records:
#
#   those of mlcr_report_task
#   folder=K          the outputs in the Kth folder follow, all of them
#   entry=TYPE SIZE TIME MODE NAME
#                     an entry: "f" (file) or "d" (directory), its time of modification, its mode in
#                     octal, and its path below the folder
#   sums=TEXT         the SHA-256 of the files, a line for each, in their order
#   contents=SIZE     SIZE bytes follow: the contents of the files, in their order

# mlcr_answer_end JOB N MARKER [FOLDER COUNT]...: answer for the Nth task. If no other task follows,
# send the outputs of tasks 1 to N, too. The first COUNT outputs of JOB are in the first FOLDER, the
# next in the second, and so on.
mlcr_answer_end() {
    printf '\000%s\000' "$3"
    mlcr_report_task "$1" "$2"
    if [ "$mlcr_exit" != pending ] &&
        { [ "$mlcr_exit" != 0 ] || [ ! -d "$1/tasks/$(($2 + 1))" ]; }; then
        mlcr_send_outputs "$@"
    fi
    printf '\000%s\000' "$3"
}

# mlcr_send_outputs JOB N MARKER [FOLDER COUNT]...: send the outputs in each folder, unless they are
# too many, too large, or not only files and directories. Only GNU find prints exact times.
mlcr_send_outputs() (
    [ -s "$1/outputs" ] && mlcr_find_checksum_command || exit 0
    mlcr_job=$1
    mlcr_last_task=$2
    shift 3
    mlcr_entries_left=100
    mlcr_bytes_left=262144
    mlcr_number=0
    mlcr_first=1
    while [ $# -ge 2 ]; do
        mlcr_number=$((mlcr_number + 1))
        mlcr_folder=$1
        mlcr_end=$((mlcr_first + $2))
        cd -P -- "$1" 2>/dev/null && mlcr_send_folder
        mlcr_first="$mlcr_end"
        shift 2
    done
)

# mlcr_send_folder: send the outputs mlcr_first to mlcr_end (exclusive), which are below the working
# directory.
mlcr_send_folder() {
    # A line "!" says that not all can be listed; all others start with a dot.
    # shellcheck disable=SC2119 # it takes its parameters from a file
    mlcr_names=$(mlcr_print_results 2>/dev/null | head -c 65537)
    case $mlcr_names in
    *!*) ! printf '%s\n' "$mlcr_names" | grep -q '^!' || return 0 ;;
    esac
    [ ${#mlcr_names} -le 65536 ] || return 0
    IFS='
'
    set -f
    # shellcheck disable=SC2086 # lines
    set -- $mlcr_names
    set +f
    IFS=' '
    [ $# -le "$mlcr_entries_left" ] || return 0
    if [ $# -eq 0 ]; then
        mlcr_print_record folder "$mlcr_number"
        return 0
    fi
    mlcr_measure "$@" && [ "$mlcr_total" -le "$mlcr_bytes_left" ] || return 0
    mlcr_entries_left=$((mlcr_entries_left - $#))
    mlcr_bytes_left=$((mlcr_bytes_left - mlcr_total))
    mlcr_print_record folder "$mlcr_number"
    mlcr_print_entry_records
    # shellcheck disable=SC2086 # words
    mlcr_print_record sums "$(find "$@" -prune -type f -exec $mlcr_checksum_command {} +)"
    mlcr_print_record contents "$mlcr_total"
    # A file that grows must not make the answer endless.
    find "$@" -prune -type f -exec cat {} + | head -c "$mlcr_total"
}

# mlcr_measure ENTRY...: set mlcr_found to a line "TYPE SIZE TIME MODE NAME" for each entry, and
# mlcr_total to the size of all files; fail unless all entries are files or directories, and are
# there. Only GNU find prints such lines.
mlcr_measure() {
    mlcr_found=$(find "$@" -prune -printf '%y %s %T@ %m %p\n' 2>/dev/null) || return 1
    mlcr_total=0
    while IFS=' ' read -r mlcr_type mlcr_size _; do
        case $mlcr_type in
        f) mlcr_total=$((mlcr_total + mlcr_size)) ;;
        d) ;;
        *) return 1 ;;
        esac
    done <<END
$mlcr_found
END
}

# mlcr_print_entry_records: print a record for each line of mlcr_found.
mlcr_print_entry_records() {
    while IFS= read -r mlcr_line; do
        mlcr_print_record entry "$mlcr_line"
    done <<END
$mlcr_found
END
}

# mlcr_print_results: print a line for each entry that the tasks made or updated: ".", or "./" and a
# path below mlcr_folder. Print a line "!" if not all of them are known.
# shellcheck disable=SC2120
mlcr_print_results() (
    # shellcheck disable=SC1091 # made by mlcr_claim_job
    . "$mlcr_job/outputs"
    [ $# -ge $((2 * mlcr_end - 1)) ] || { echo ! && exit; }
    shift $((2 * mlcr_first - 1))
    mlcr_index=$mlcr_first
    while [ "$mlcr_index" -lt "$mlcr_end" ]; do
        [ "$1" -gt "$mlcr_last_task" ] || mlcr_print_result "$1" "$2" || echo !
        mlcr_index=$((mlcr_index + 1))
        shift 2
    done
)

# mlcr_print_result N PATH: print the entries of output mlcr_index, at PATH, of the Nth task; fail if
# they are not known.
mlcr_print_result() {
    case $2 in
    "$mlcr_folder") mlcr_top=. ;;
    "$mlcr_folder"/*) mlcr_top=./${2#"$mlcr_folder"/} ;;
    *) return 1 ;;
    esac
    mlcr_state=
    while read -r mlcr_line_index mlcr_line_state; do
        [ "$mlcr_line_index" != "$mlcr_index" ] || mlcr_state=$mlcr_line_state
    done <"$mlcr_job/tasks/$1/outputs"
    mlcr_changed=$mlcr_job/tasks/$1/changed.$mlcr_index
    case "$mlcr_state" in
    unchanged | absent) ;;
    updated | made)
        if [ "$mlcr_state" = updated ] && [ -e "$mlcr_changed" ]; then
            while IFS= read -r mlcr_line; do
                printf '%s\n' "$mlcr_top/${mlcr_line#./}"
            done <"$mlcr_changed"
        elif [ -d "$mlcr_top" ] && [ ! -L "$mlcr_top" ]; then
            mlcr_any='*
*'
            find "$mlcr_top" -path "$mlcr_any" -printf '!\n' -o -print || return 1
        elif [ -e "$mlcr_top" ] || [ -L "$mlcr_top" ]; then
            case $mlcr_top in
            *"
"*) return 1 ;;
            esac
            printf '%s\n' "$mlcr_top"
        fi
        ;;
    *) return 1 ;;
    esac
}
