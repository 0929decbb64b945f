# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Locks that jobs hold: one run at a time uses a workspace, one job a GPU. Called by claim, GPU
# leases and image builds. A lock is a directory that contains a chain of small files. ln(1) creates
# each file, and fails if the name exists, also on NFS:
#
#   first       "JOB [GROUP]": the first job of the chain
#   after.JOB   "JOB [GROUP]": the job that took the lock over from JOB
#
# The job at the end of the chain holds the lock while it is live: a job need not release its lock,
# and a dead job holds none. If two jobs take over from the same job, ln lets one succeed. The jobs
# of one group (a run, whose id is the start of their names) share the lock: each takes it over from
# the previous one, even if that is live. Jobs of other groups wait until no job of the group is
# live.

# mlcr_read_chain LOCK: set mlcr_holder to the job at the end of the chain (empty: none),
# mlcr_holder_group to its group, and mlcr_chain_jobs to all jobs of the chain, separated by
# slashes.
mlcr_read_chain() {
    mlcr_holder=''
    mlcr_holder_group=''
    mlcr_chain_jobs=/
    [ -s "$1/first" ] || return 0
    read -r mlcr_holder mlcr_holder_group <"$1/first"
    mlcr_chain_jobs=/$mlcr_holder/
    mlcr_steps=0
    while [ -s "$1/after.$mlcr_holder" ] && [ $mlcr_steps -lt 10000 ]; do
        read -r mlcr_holder mlcr_holder_group <"$1/after.$mlcr_holder"
        mlcr_chain_jobs=$mlcr_chain_jobs$mlcr_holder/
        mlcr_steps=$((mlcr_steps + 1))
    done
}

# mlcr_acquire_lock LOCK JOBS JOB [GROUP]: acquire LOCK for JOB, a name in the directory JOBS.
# Status 16, with mlcr_holder set, if a live job of no group or of another group holds it. Set
# mlcr_kept to "yes" if the previous holder was of this group, otherwise to nothing.
mlcr_acquire_lock() {
    mlcr_kept=
    [ -d "$1" ] || mkdir -m 0700 -- "$1" 2>/dev/null || [ -d "$1" ] || return 1
    # An entry of an earlier job with this name is no longer part of the chain.
    [ ! -e "$1/after.$3" ] || rm -f -- "$1/after.$3"
    printf '%s\n' "$3${4:+ $4}" >"$1/new.$3" || return 1
    mlcr_tries=0
    while [ $mlcr_tries -lt 1000 ]; do
        mlcr_tries=$((mlcr_tries + 1))
        mlcr_read_chain "$1"
        [ "$mlcr_holder" != "$3" ] || break
        mlcr_entry=first
        if [ -n "$mlcr_holder" ]; then
            mlcr_kept=
            if [ -n "$mlcr_holder_group" ] && [ "$mlcr_holder_group" = "${4-}" ]; then
                # shellcheck disable=SC2034 # for the caller
                mlcr_kept=yes
            elif mlcr_is_held "$2"; then
                rm -f -- "$1/new.$3"
                return 16
            fi
            mlcr_entry=after.$mlcr_holder
        fi
        mlcr_remove_empty_entry "$1" "$mlcr_entry"
        if ln -- "$1/new.$3" "$1/$mlcr_entry" 2>/dev/null; then
            # Another job of the group may already have taken it over. Do not read the chain again:
            # taking it over from that job would turn the chain into a ring.
            mlcr_holder=$3
            break
        fi
        [ -e "$1/$mlcr_entry" ] || return 1
    done
    [ "$mlcr_holder" = "$3" ] || return 1
    # The holder may shorten the chain: readers that started at an older entry get here too.
    if [ "$mlcr_entry" = first ]; then
        rm -f -- "$1/new.$3"
    else
        mv -f -- "$1/new.$3" "$1/first"
    fi
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
    preparing | running | orphaned | elsewhere) return 0 ;;
    esac
    return 1
}
