# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# One run at a time in a workspace. A lock is a directory that holds a chain of small files, each
# made with ln(1), which fails if the name is taken, also on NFS:
#
#   first       "JOB [GROUP]": the job that the chain begins with
#   after.JOB   "JOB [GROUP]": the job that took the lock over from JOB
#
# The end of the chain holds the lock, for as long as that job is live: nothing need be released,
# and what died holding it holds it no more. Of two that take over from one job, ln lets one win.
# Jobs of one group (a run, with which their names begin) share the lock: each takes it over from
# the last one, whether that is live or not, and others wait until none of them is.

# mlcr_read_chain LOCK: set mlcr_holder to the job at the end of the chain, or to nothing, mlcr_holders to
# its group, and mlcr_links to all jobs of the chain, each between slashes.
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

# mlcr_acquire_lock LOCK JOBS JOB [GROUP]: take LOCK for JOB, a name in the directory JOBS. Status 16, with
# mlcr_holder set, when a live job of no or another group holds it. mlcr_kept is set to "yes" when
# the last to hold it was of this group, to nothing otherwise.
mlcr_acquire_lock() {
    mlcr_kept=
    [ -d "$1" ] || mkdir -m 0700 -- "$1" 2>/dev/null || [ -d "$1" ] || return 1
    # What is left from a former job of this name is no link of the chain any more.
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
            # Others of the group may have taken it over by now: to take it once more, from them, would
            # make a ring of the chain.
            mlcr_holder=$3
            break
        fi
        [ -e "$1/$mlcr_entry" ] || return 1
    done
    [ "$mlcr_holder" = "$3" ] || return 1
    # Who holds it may shorten the chain: those who walk it from an older beginning get here too.
    if [ "$mlcr_entry" = first ]; then
        rm -f -- "$1/new.$3"
    else
        mv -f -- "$1/new.$3" "$1/first"
    fi
}

# mlcr_remove_empty_entry LOCK ENTRY: remove an entry without content, which only a machine that lost its
# power can have left.
mlcr_remove_empty_entry() {
    [ -e "$1/$2" ] && [ ! -s "$1/$2" ] || return 0
    mv -f -- "$1/$2" "$1/empty.$$" 2>/dev/null || return 0
    # Another may have mended it meanwhile: what it put there is put back.
    [ ! -s "$1/empty.$$" ] || ln -- "$1/empty.$$" "$1/$2" 2>/dev/null
    rm -f -- "$1/empty.$$"
}

# mlcr_is_held JOBS: whether mlcr_holder is live, or one of its group, which is then mlcr_holder.
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

# mlcr_is_live JOB: whether the job may still do something.
mlcr_is_live() {
    case $(mlcr_print_job_state "$1") in
    preparing | running | orphaned | elsewhere) return 0 ;;
    esac
    return 1
}
