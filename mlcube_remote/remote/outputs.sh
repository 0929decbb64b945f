# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# shellcheck disable=SC2030,SC2031 # a function that runs in a subshell calls the one that reads them
# SPDX-License-Identifier: Apache-2.0
# Which outputs a job has made. The supervisor notes their entries before the first task, and
# compares after each task. Files in the job's directory:
#
#   outputs           shell text that sets the parameters: "fresh" or nothing, then for each output
#                     the number of its task and its path; the outputs are numbered in this order
#   before/I          the entries of the Ith output before the first task
#   tasks/N/outputs   lines "I STATE" for the outputs of the Nth task, once it has ended
#   tasks/N/after     used while the entries are compared, then empty
#   tasks/N/changed.I names of the entries of the Ith output that were made or updated, if it is a
#                     directory with others too
#   tasks/N/stale     exists if the task left an output unchanged, and all must be fresh
#
# The states of an output:
#
#   made       nothing was there before
#   updated    some entries are new, changed or deleted
#   unchanged  all entries are as before; also: an empty directory
#   absent     it does not exist
#   unknown    it has too many entries, or some could not be read

# mlcr_print_entries PATH: print a line "SIGNATURE<tab>./NAME" for PATH and each entry below it.
# Two lines differ if the entry is not the same, or was written in between. Directories have no
# times, because these change with each temporary file. An empty line means that there are entries
# whose names have line breaks; "!" means that some entries could not be read.
mlcr_print_entries() (
    mlcr_top=.
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        cd -- "$1" || exit 1
    elif [ -e "$1" ] || [ -L "$1" ]; then
        mlcr_top=./${1##*/}
        cd -- "${1%/*}/" || exit 1
    else
        exit 0
    fi
    mlcr_any='*
*'
    # Files whose names begin like this are ours.
    mlcr_own='.mlcube-remote*'
    if [ "$mlcr_top" != . ]; then
        mlcr_find_signatures || mlcr_stat_signatures || echo '!'
    elif find . -prune -printf '' 2>/dev/null; then
        mlcr_find_signatures mlcr_run_limited 60 || echo '!'
    else
        mlcr_stat_signatures mlcr_run_limited 60 || echo '!'
    fi
)

# mlcr_find_signatures [WORD...]: print the lines of mlcr_print_entries for mlcr_top with GNU find;
# the WORDs run it. Another find prints nothing and fails.
mlcr_find_signatures() {
    "$@" find "$mlcr_top" -path "$mlcr_any" -prune -printf '\n' -o \
        -name "$mlcr_own" -prune -o -type d -printf 'd\t%p\n' -o \
        -printf '%y %s %T@ %i c%C@\t%p\n' 2>/dev/null
}

# mlcr_stat_signatures [WORD...]: do the same with any find, and stat.
mlcr_stat_signatures() {
    mlcr_tab=$(printf '\t')
    "$@" find "$mlcr_top" -path "$mlcr_any" -prune -exec echo \; -o \
        -name "$mlcr_own" -prune -o -type d -exec printf 'd\t%s\n' {} + -o \
        -exec stat -c "%F %s %y %i c%z$mlcr_tab%n" {} + 2>/dev/null
}

# mlcr_list_entries PATH FILE: write the entries of PATH to FILE, sorted, and set mlcr_lines; fail if
# not all of them can be listed. What is not a directory has one entry at most.
mlcr_list_entries() {
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        mlcr_print_entries "$1" | head -n 200001 | LC_ALL=C sort >"$2"
    else
        mlcr_print_entries "$1" >"$2"
    fi && mlcr_count_lines "$2" && [ "$mlcr_lines" -le 200000 ] && ! mlcr_is_incomplete "$2"
}

# mlcr_is_incomplete FILE: whether FILE has the line "!"; only empty lines come before it.
mlcr_is_incomplete() {
    mlcr_line=
    while [ -z "$mlcr_line" ] && IFS= read -r mlcr_line; do :; done <"$1"
    [ "$mlcr_line" = '!' ]
}

# mlcr_count_lines FILE: set mlcr_lines; start no process for a few lines.
mlcr_count_lines() {
    mlcr_lines=0
    while [ $mlcr_lines -lt 3 ] && read -r _; do
        mlcr_lines=$((mlcr_lines + 1))
    done <"$1" || return 1
    [ $mlcr_lines -lt 3 ] || { mlcr_lines=$(wc -l <"$1") && mlcr_lines=$((mlcr_lines)); }
}

# mlcr_note_outputs JOB: note the entries of all outputs of JOB.
mlcr_note_outputs() (
    [ -s "$1/outputs" ] && mkdir -- "$1/before" 2>/dev/null || return 0
    mlcr_job=$1
    # shellcheck disable=SC1091 # made by mlcr_claim_job
    . "$mlcr_job/outputs"
    shift
    mlcr_note_entries "$mlcr_job/before" '' "$@"
)

# mlcr_note_entries DIRECTORY PREFIX [WORD PATH]...: write the entries of PREFIX and the Ith PATH to the
# file I of DIRECTORY; there is no such file if not all of them can be listed.
mlcr_note_entries() {
    mlcr_notes=$1
    mlcr_prefix=$2
    shift 2
    mlcr_index=0
    while [ $# -ge 2 ]; do
        mlcr_index=$((mlcr_index + 1))
        mlcr_list_entries "$mlcr_prefix$2" "$mlcr_notes/$mlcr_index" 2>/dev/null ||
            rm -f -- "$mlcr_notes/$mlcr_index"
        shift 2
    done
}

# mlcr_compare_outputs JOB N DIRECTORY [again]: write to DIRECTORY how the outputs of the Nth task
# differ from those before the first task; "again": their owner may have been changed since the task
# ended. A full disk leaves no file "outputs".
mlcr_compare_outputs() (
    [ -d "$1/before" ] || return 0
    mlcr_job=$1
    mlcr_have_times=yes
    [ -z "${4-}" ] && ! mlcr_is_chown_possible "$2" || mlcr_have_times=no
    mlcr_task=$2
    mlcr_dir=$3
    # shellcheck disable=SC1091 # made by mlcr_claim_job
    . "$mlcr_job/outputs"
    shift
    mlcr_index=0
    mlcr_text=
    while [ $# -ge 2 ]; do
        mlcr_index=$((mlcr_index + 1))
        if [ "$1" = "$mlcr_task" ]; then
            mlcr_compare_output "$2"
            mlcr_text="$mlcr_text$mlcr_index $mlcr_state
"
        fi
        shift 2
    done
    # This frees its space, and starts no process.
    printf '' >"$mlcr_dir/after"
    { printf '%s' "$mlcr_text" >"$mlcr_dir/outputs.new" &&
        mv -- "$mlcr_dir/outputs.new" "$mlcr_dir/outputs"; } 2>/dev/null || :
)

# mlcr_compare_unknown_outputs JOB N: compare the outputs of the Nth task again if some could not be
# read; now they belong to the user.
mlcr_compare_unknown_outputs() {
    ! mlcr_has_state "$1/tasks/$2" unknown || mlcr_compare_outputs "$1" "$2" "$1/tasks/$2" again
}

# mlcr_has_state DIRECTORY STATE: whether an output of a task is in this state.
mlcr_has_state() {
    [ -s "$1/outputs" ] || return 1
    while read -r _ mlcr_state; do
        [ "$mlcr_state" != "$2" ] || return 0
    done <"$1/outputs"
    return 1
}

# mlcr_is_chown_possible N: whether a task of mlcr_job before the Nth may have changed the owner of
# outputs, and so the times of change of all entries.
mlcr_is_chown_possible() {
    mlcr_number=1
    while [ "$mlcr_number" -lt "$1" ]; do
        [ ! -s "$mlcr_job/tasks/$mlcr_number/own" ] || return 0
        mlcr_number=$((mlcr_number + 1))
    done
    return 1
}

# mlcr_print_changed: print the lines that are in mlcr_after and not in mlcr_before.
mlcr_print_changed() {
    # What is in both files is there three times, what was deleted twice, and the rest once.
    if [ "$mlcr_have_times" = yes ]; then
        LC_ALL=C sort -m "$mlcr_before" "$mlcr_before" "$mlcr_after"
    else
        mlcr_tab=$(printf '\t')
        LC_ALL=C sed "s/^\([^$mlcr_tab]*\) c[^$mlcr_tab]*$mlcr_tab/\1$mlcr_tab/" \
            "$mlcr_before" "$mlcr_before" "$mlcr_after" | LC_ALL=C sort
    fi | LC_ALL=C uniq -u
}

# mlcr_compare_output PATH: compare the output mlcr_index of mlcr_job with its entries before; set
# mlcr_state.
mlcr_compare_output() {
    mlcr_state=unknown
    mlcr_before=$mlcr_job/before/$mlcr_index
    mlcr_after=$mlcr_dir/after
    mlcr_changed=$mlcr_dir/changed.$mlcr_index
    [ -e "$mlcr_before" ] && mlcr_list_entries "$1" "$mlcr_after" 2>/dev/null || return 0
    if [ ! -s "$mlcr_after" ]; then
        mlcr_state=absent
        return 0
    fi
    mlcr_after_lines=$mlcr_lines
    mlcr_count_lines "$mlcr_before"
    # An empty directory may be the one that was created for the task.
    if mlcr_has_no_entries "$mlcr_after"; then
        [ "$mlcr_lines" -gt 1 ] && mlcr_state=updated || mlcr_state=unchanged
        return 0
    elif mlcr_has_no_entries "$mlcr_before"; then
        mlcr_state=made
        return 0
    fi
    if [ "$mlcr_lines$mlcr_after_lines$mlcr_have_times" = 11yes ]; then
        mlcr_state=updated
        ! mlcr_has_same_line "$mlcr_before" "$mlcr_after" || mlcr_state=unchanged
        return 0
    fi
    mlcr_print_changed | cut -f 2- >"$mlcr_changed" 2>/dev/null || return 0
    if [ ! -s "$mlcr_changed" ] && [ "$mlcr_lines" -eq "$mlcr_after_lines" ]; then
        mlcr_state=unchanged
        rm -f -- "$mlcr_changed"
        return 0
    fi
    mlcr_state=updated
    # A file counts as a whole, and so does a directory if the names of some entries are not known.
    [ -d "$1" ] && [ ! -L "$1" ] && [ -n "$(mlcr_print_line "$mlcr_after")" ] ||
        rm -f -- "$mlcr_changed"
}

# mlcr_has_same_line FILE FILE: whether the first lines are the same.
mlcr_has_same_line() {
    IFS= read -r mlcr_first <"$1" && IFS= read -r mlcr_second <"$2" &&
        [ "$mlcr_first" = "$mlcr_second" ]
}

# mlcr_has_no_entries FILE: whether FILE lists nothing, or only an empty directory.
mlcr_has_no_entries() {
    [ -s "$1" ] || return 0
    {
        IFS= read -r mlcr_first
        ! IFS= read -r mlcr_second
    } <"$1" || return 1
    # "d", a tab and ".": all other lines are longer.
    case $mlcr_first in
    d?.) ;;
    *) return 1 ;;
    esac
}

# mlcr_require_fresh_outputs JOB N: fail, and leave a mark, if the Nth task left an output unchanged
# and all must be fresh.
mlcr_require_fresh_outputs() (
    mlcr_task=$1/tasks/$2
    [ -s "$1/outputs" ] && [ -s "$mlcr_task/outputs" ] || return 0
    # shellcheck disable=SC1091 # made by mlcr_claim_job
    . "$1/outputs"
    [ "$1" = fresh ] || return 0
    ! mlcr_has_state "$mlcr_task" unchanged || { true >"$mlcr_task/stale" && return 1; }
)

# mlcr_report_outputs JOB N: report the states of the Nth task's outputs; of a task without an end,
# as they are now.
mlcr_report_outputs() {
    mlcr_dir=$1/tasks/$2
    if [ -e "$mlcr_dir/outputs" ]; then
        mlcr_report_states "$mlcr_dir"
        return
    fi
    [ -d "$1/before" ] || return 0
    mlcr_dir=$1/asked.$$
    mkdir -- "$mlcr_dir" || return 0
    mlcr_compare_outputs "$1" "$2" "$mlcr_dir"
    [ ! -e "$mlcr_dir/outputs" ] || mlcr_report_states "$mlcr_dir"
    rm -rf -- "$mlcr_dir"
}

# mlcr_report_states DIRECTORY: report the states in DIRECTORY, with each list of names that is
# short, and the sizes of the others.
mlcr_report_states() {
    mlcr_print_record outputs known
    while read -r mlcr_index mlcr_state; do
        mlcr_print_record "output.$mlcr_index" "$mlcr_state"
        mlcr_changed=$1/changed.$mlcr_index
        [ -e "$mlcr_changed" ] || continue
        mlcr_size=$(($(wc -c <"$mlcr_changed")))
        if [ "$mlcr_size" -le 16384 ]; then
            mlcr_print_record "changed.$mlcr_index" "$(cat "$mlcr_changed")"
        else
            mlcr_print_record "listed.$mlcr_index" "$mlcr_size"
        fi
    done <"$1/outputs"
}
