# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Locks that jobs hold: one run at a time uses a workspace, one job a GPU. Called by claim, GPU
# leases and image builds. A lock is a directory that contains a chain of small files. ln(1) creates
# each file, and fails if the name exists, also on NFS:
#
#   first         "NAME [GROUP]": the first entry of the chain
#   after.NAME    "NAME [GROUP]": the entry that took the lock over from the entry NAME
#
# NAME is the name of a job, or JOB~NUMBER if the job had an entry before. The job of the last entry
# holds the lock while it is live: a job need not release its lock, and a dead job holds none. If two
# jobs take over from the same entry, ln lets one succeed. A job that was dead for other jobs and
# lives again (its client has a new connection) therefore needs a new entry: another job may be
# taking over from its old one. The jobs of one group (a run, whose id is the start of their names)
# share the lock: each takes it over from the previous one, even if that is live. Jobs of other
# groups wait until no job of the group is live.

# mlcr_read_chain LOCK: set mlcr_last_entry to the name of the last entry of the chain, mlcr_holder
# to its job (empty: none), mlcr_holder_group to its group, and mlcr_chain_entries to the names of
# all entries, separated by slashes.
mlcr_read_chain() {
    mlcr_last_entry=''
    mlcr_holder=''
    mlcr_holder_group=''
    mlcr_chain_entries=/
    [ -s "$1/first" ] || return 0
    read -r mlcr_last_entry mlcr_holder_group <"$1/first"
    mlcr_chain_entries=/$mlcr_last_entry/
    mlcr_steps=0
    while [ -s "$1/after.$mlcr_last_entry" ] && [ $mlcr_steps -lt 10000 ]; do
        read -r mlcr_last_entry mlcr_holder_group <"$1/after.$mlcr_last_entry"
        mlcr_chain_entries=$mlcr_chain_entries$mlcr_last_entry/
        mlcr_steps=$((mlcr_steps + 1))
    done
    mlcr_holder=${mlcr_last_entry%%"~"*}
}

# mlcr_choose_entry LOCK JOB: set mlcr_entry to a name for the next entry of JOB that no entry of
# the chain has, or had a short time ago.
mlcr_choose_entry() {
    mlcr_entry=$2
    mlcr_entry_number=0
    # The last entry has no successor yet.
    while [ -e "$1/after.$mlcr_entry" ] || [ "$mlcr_entry" = "$mlcr_last_entry" ]; do
        mlcr_entry_number=$((mlcr_entry_number + 1))
        mlcr_entry=$2~$mlcr_entry_number
    done
}

# mlcr_acquire_lock LOCK JOBS JOB [GROUP]: acquire LOCK for JOB, a live job in the directory JOBS.
# Status 16, with mlcr_holder set, if a live job of no group or of another group holds it. Set
# mlcr_kept to "yes" if the previous holder was JOB itself or of this group, otherwise to nothing.
mlcr_acquire_lock() {
    [ -d "$1" ] || mkdir -m 0700 -- "$1" 2>/dev/null || [ -d "$1" ] || return 1
    # Two connections of one client may call this at once; each has a file of its own.
    mlcr_new_entry=$1/new.$3.$$
    mlcr_tries=0
    while [ $mlcr_tries -lt 1000 ]; do
        mlcr_tries=$((mlcr_tries + 1))
        mlcr_read_chain "$1"
        mlcr_kept=
        mlcr_place=first
        if [ -n "$mlcr_holder" ]; then
            mlcr_place=after.$mlcr_last_entry
            if [ "$mlcr_holder" = "$3" ] ||
                { [ -n "$mlcr_holder_group" ] && [ "$mlcr_holder_group" = "${4-}" ]; }; then
                # shellcheck disable=SC2034 # for the caller
                mlcr_kept=yes
            elif mlcr_is_held "$2"; then
                [ ! -e "$mlcr_new_entry" ] || rm -f -- "$mlcr_new_entry"
                return 16
            fi
        fi
        mlcr_choose_entry "$1" "$3"
        printf '%s\n' "$mlcr_entry${4:+ $4}" >"$mlcr_new_entry" || return 1
        mlcr_remove_empty_entry "$1" "$mlcr_place"
        mlcr_error=$(ln -- "$mlcr_new_entry" "$1/$mlcr_place" 2>&1) || {
            [ ! -e "$1/$mlcr_place" ] || continue
            printf '%s\n' "$mlcr_error" >&2
            return 1
        }
        # The holder may shorten the chain: readers that started at an older entry get here too.
        if [ "$mlcr_place" = first ]; then
            rm -f -- "$mlcr_new_entry"
        else
            mv -f -- "$mlcr_new_entry" "$1/first"
        fi
        return
    done
    return 1
}

# mlcr_remove_empty_entry LOCK ENTRY: remove an entry without content. Only a power failure leaves
# one.
mlcr_remove_empty_entry() {
    [ -e "$1/$2" ] && [ ! -s "$1/$2" ] || return 0
    mv -f -- "$1/$2" "$1/empty.$$" 2>/dev/null || return 0
    # Another client may have replaced the entry in the meantime: restore its content.
    [ ! -s "$1/empty.$$" ] || ln -- "$1/empty.$$" "$1/$2" 2>/dev/null
    rm -f -- "$1/empty.$$"
}

# mlcr_is_held JOBS: whether mlcr_holder or another job of its group is live; set mlcr_holder to
# that job.
mlcr_is_held() {
    ! mlcr_is_live "$1/$mlcr_holder" || return 0
    [ -n "$mlcr_holder_group" ] || return 1
    for mlcr_member in "$1/$mlcr_holder_group"-*; do
        mlcr_is_live "$mlcr_member" || continue
        mlcr_holder=${mlcr_member##*/}
        return 0
    done
    return 1
}

# mlcr_is_live JOB: whether the job may still change anything.
mlcr_is_live() {
    case $(mlcr_print_job_state "$1") in
    preparing | queued | running | orphaned | elsewhere | unknown) return 0 ;;
    esac
    return 1
}
