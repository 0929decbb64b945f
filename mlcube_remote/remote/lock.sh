# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# One run at a time in a workspace. A lock is a directory that holds a chain of small files, each
# made with ln(1), which fails if the name is taken, also on NFS:
#
#   first       the job that the chain begins with
#   after.JOB   the job that took the lock over from JOB
#
# The end of the chain holds the lock, for as long as that job is live: nothing need be released,
# and what died holding it holds it no more. Of two that take over from one job, ln lets one win.

# mlcr_chain LOCK: set mlcr_holder to the job at the end of the chain, or to nothing, and
# mlcr_links to all jobs of the chain, each between slashes.
mlcr_chain() {
    mlcr_holder=
    mlcr_links=/
    [ -s "$1/first" ] || return 0
    read -r mlcr_holder <"$1/first"
    mlcr_links=/$mlcr_holder/
    mlcr_steps=0
    while [ -s "$1/after.$mlcr_holder" ] && [ $mlcr_steps -lt 10000 ]; do
        read -r mlcr_holder <"$1/after.$mlcr_holder"
        mlcr_links=$mlcr_links$mlcr_holder/
        mlcr_steps=$((mlcr_steps + 1))
    done
}

# mlcr_lock LOCK JOBS JOB: take LOCK for JOB, a name in the directory JOBS. Status 16, with
# mlcr_holder set, when a live job holds it.
mlcr_lock() {
    [ -d "$1" ] || mkdir -m 0700 -- "$1" 2>/dev/null || [ -d "$1" ] || return 1
    # What is left from a former job of this name is no link of the chain any more.
    [ ! -e "$1/after.$3" ] || rm -f -- "$1/after.$3"
    printf '%s\n' "$3" >"$1/new.$3" || return 1
    mlcr_tries=0
    while [ $mlcr_tries -lt 1000 ]; do
        mlcr_tries=$((mlcr_tries + 1))
        mlcr_chain "$1"
        [ "$mlcr_holder" != "$3" ] || break
        mlcr_entry=first
        if [ -n "$mlcr_holder" ]; then
            if mlcr_is_live "$2/$mlcr_holder"; then
                rm -f -- "$1/new.$3"
                return 16
            fi
            mlcr_entry=after.$mlcr_holder
        fi
        mlcr_drop_empty "$1" "$mlcr_entry"
        ln -- "$1/new.$3" "$1/$mlcr_entry" 2>/dev/null || [ -e "$1/$mlcr_entry" ] || return 1
    done
    [ "$mlcr_holder" = "$3" ] || return 1
    # Who holds it may shorten the chain: those who walk it from an older beginning get here too.
    if [ "$mlcr_entry" = first ]; then
        rm -f -- "$1/new.$3"
    else
        mv -f -- "$1/new.$3" "$1/first"
    fi
}

# mlcr_drop_empty LOCK ENTRY: remove an entry without content, which only a machine that lost its
# power can have left.
mlcr_drop_empty() {
    [ -e "$1/$2" ] && [ ! -s "$1/$2" ] || return 0
    mv -f -- "$1/$2" "$1/empty.$$" 2>/dev/null || return 0
    # Another may have mended it meanwhile: what it put there is put back.
    [ ! -s "$1/empty.$$" ] || ln -- "$1/empty.$$" "$1/$2" 2>/dev/null
    rm -f -- "$1/empty.$$"
}

# mlcr_is_live JOB: whether the job may still do something.
mlcr_is_live() {
    case $(mlcr_state "$1") in
    preparing | running | orphaned | elsewhere) return 0 ;;
    esac
    return 1
}
