# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Copies of what a task mounts, on a disk of the compute node ("scratch"). Part of the program slurm.sh.
# The container mounts a copy as slurm/scratch/PATH, where PATH is the absolute path of what was copied.
# These files of the job belong to it:
#
#   slurm/scratch.path  where the copies are wanted: a path that may have $NAME in it
#   slurm/copied.N      shell text that sets the parameters to [AREA DIRECTORY]...: what is copied for
#                       the Nth task; none of the directories contains another
#   slurm/mounted.N     the same with [COPIED DIRECTORY]...: what it mounts of these copies
#   slurm/written.N     the same with [AREA DIRECTORY]...: where its changes are copied back to
#   slurm/scratch       link to the copies, while a node has some
#   slurm/unreturned    where the copies are, while they contain changes that were not copied back
#   slurm/incoming      used while changes are copied back
#   tasks/N/returning   exists while changes of the Nth task are copied back

# make_scratch JOB: create a directory for copies, unless an earlier task of this job has one on this
# node; set scratch to its path. Print the reason if that fails.
make_scratch() {
    if [ -d "$1/slurm/scratch" ]; then
        mlcr_resolve_directory "$1/slurm/scratch"
        scratch=$mlcr_real_path
        return
    fi
    mlcr_find_scratch "$(mlcr_print_line "$1/slurm/scratch.path")" || return 1
    made=$(mktemp -d "${mlcr_expanded%/}/mlcube-remote-${1##*/}.XXXXXX") &&
        mkdir -- "$made/copies" "$made/before" && mlcr_resolve_directory "$made/copies" || return 1
    scratch=$mlcr_real_path
    ln -s -- "$scratch" "$1/slurm/scratch"
}

# fetch JOB N: copy what the Nth task mounts, and list what it may change. Print the reason if that
# fails.
fetch() {
    # It leads a process group of its own, so that "stop" can end it.
    echo $$ >"$1/tasks/$2/group"
    make_scratch "$1" && copy_directories "$1" "$2" && check_copies "$1" "$2" &&
        list_copies "$1" "$2" || return
    printf '%s on %s\n' "$scratch" "$(uname -n)" >"$1/slurm/unreturned"
}

# copy_directories JOB N: copy the directories of the Nth task to scratch; only what differs from the
# copy that an earlier task used.
copy_directories() {
    # shellcheck disable=SC1090 # made by mlcr_write_scratch
    . "$1/slurm/copied.$2"
    while [ $# -ge 2 ]; do
        mlcr_confine "$1" "$2" || return
        mkdir -p -- "$scratch$2" || return 1
        copy_error=$(rsync -a --delete -- "$mlcr_real_path/" "$scratch$2/" 2>&1) || {
            echo "$2 could not be copied to $scratch on $(uname -n): $copy_error"
            return 1
        }
        shift 2
    done
}

# check_copies JOB N: make sure that what the Nth task mounts of the copies is in them: an earlier task
# may have replaced it by a link.
check_copies() {
    # shellcheck disable=SC1090 # made by mlcr_write_scratch
    . "$1/slurm/mounted.$2"
    while [ $# -ge 2 ]; do
        ! [ -d "$scratch$2" ] || mlcr_confine "$scratch$1" "$scratch$2" existing || return
        shift 2
    done
}

# list_copies JOB N: list the entries of what the Nth task may change.
list_copies() {
    # shellcheck disable=SC1090 # made by mlcr_write_scratch
    . "$1/slurm/written.$2"
    mlcr_note_entries "${scratch%/*}/before" "$scratch" "$@"
}

# give_back JOB N: copy back what the Nth task changed. Print the reasons if that fails for some of its
# directories.
give_back() {
    # Slurm may signal all processes of the job.
    trap '' TERM
    job=$1
    returning=$1/tasks/$2/returning
    true >"$returning"
    mlcr_resolve_directory "$1/slurm/scratch" || {
        echo "the copies on $(uname -n) are gone"
        return 1
    }
    scratch=$mlcr_real_path
    mkdir -p -- "$1/slurm/incoming" || return
    # shellcheck disable=SC1090 # made by mlcr_write_scratch
    . "$1/slurm/written.$2"
    index=0
    failed=
    while [ $# -ge 2 ]; do
        index=$((index + 1))
        return_error=$(return_changes "$1" "$2" 2>&1) || {
            failed=yes
            echo "$2: $return_error"
        }
        shift 2
    done
    [ -n "$failed" ] || rm -f -- "$job/slurm/unreturned"
    rm -rf -- "$returning" "$job/slurm/incoming"
    [ -z "$failed" ]
}

# return_changes AREA DIRECTORY: copy back what differs from the list of DIRECTORY, the one with number
# index; all that differs from DIRECTORY if there is no such list. What is the same is not touched.
return_changes() {
    mlcr_confine "$1" "$2" || return
    target=$mlcr_real_path
    mlcr_confine "$scratch" "$scratch$2" existing || return
    from=$mlcr_real_path
    before=${scratch%/*}/before/$index
    after=${scratch%/*}/after
    names=${scratch%/*}/names
    if has_plain_names "$before" && mlcr_list_entries "$from" "$after" 2>/dev/null &&
        has_plain_names "$after"; then
        LC_ALL=C sort -m "$before" "$after" | LC_ALL=C uniq -u | LC_ALL=C cut -f 2- |
            LC_ALL=C sort -u | tr '\n' '\000' >"$names" || return 1
        [ -s "$names" ] || return 0
        # It fails, for example, if a directory is now a file.
        ! copy_back --ignore-times --delete-missing-args --from0 --files-from="$names" 2>/dev/null ||
            return 0
    fi
    copy_back --checksum --delete
}

# has_plain_names FILE: whether FILE lists all entries: it begins with an empty line if some names have
# line breaks.
has_plain_names() {
    [ -s "$1" ] && [ -n "$(mlcr_print_line "$1")" ]
}

# copy_back OPTION...: copy from $from to $target with rsync. A file is renamed when it is complete.
copy_back() {
    tries=0
    while :; do
        rsync -a --force --temp-dir="$job/slurm/incoming" "$@" -- "$from/" "$target/"
        code=$?
        # SIGTERM ends rsync, also if it is ignored here.
        [ $code -eq 20 ] && [ $tries -lt 3 ] || return $code
        tries=$((tries + 1))
    done
}

# is_returning JOB: whether changes of a task are copied back at this moment.
is_returning() {
    for ended_task in "$1"/tasks/*; do
        [ ! -e "$ended_task/returning" ] || return 0
    done
    return 1
}

# leave_scratch JOB: remove the copies, unless they contain what exists nowhere else.
leave_scratch() {
    [ -d "$1/slurm/scratch" ] || return 0
    mlcr_resolve_directory "$1/slurm/scratch" || return 0
    made=${mlcr_real_path%/*}
    rm -f -- "$1/slurm/scratch"
    case ${made##*/} in
    "mlcube-remote-${1##*/}".??????) ;;
    *) return 0 ;;
    esac
    if [ -s "$1/slurm/unreturned" ]; then
        echo "mlcube-remote: kept what was not copied back: $(mlcr_print_line "$1/slurm/unreturned")"
        return 0
    fi
    # A task may leave directories that their owner cannot change.
    rm -rf -- "$made" 2>/dev/null || {
        mlcr_unlock_directories "$made"
        rm -rf -- "$made"
    }
}
