# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Which mirrors, data and images jobs use, and when the last one did. The time of a mirror itself says
# nothing: rsync gives it the time of the cube. Called by claims, "hosts disk" and "clean". A key is
# KIND/NAME: a directory below ROOT (cubes/NAME, workspaces/NAME, data/NAME), or images/NAME; for
# "hosts disk" and "clean" also trials/JOB, the workspace of a trial whose job was removed.
#
#   used/KIND/NAME           lines: the client, the name for people, the engine of an image; the time
#                            of the file is that of the last claim
#   used/KIND/NAME.unpulled  jobs that were removed before their outputs in KIND/NAME were pulled
#   used/.clean.PID/         a client that removes something: no job is claimed while it is live
#   jobs/JOB/uses            the keys that the job uses, one in a line; an older client wrote none

# mlcr_write_uses JOB CLIENT [KEY TEXT]...: record what a claimed JOB uses.
mlcr_write_uses() {
    mlcr_used=${1%/*/*}/used
    mlcr_uses_file=$1/uses
    mlcr_client=$2
    shift 2
    mlcr_keys=
    while [ $# -ge 2 ]; do
        mlcr_keys="$mlcr_keys$1
"
        mlcr_make_directory "$mlcr_used" && mlcr_make_directory "$mlcr_used/${1%/*}" &&
            printf '%s\n%s\n' "$mlcr_client" "$2" >"$mlcr_used/$1" || return 1
        shift 2
    done
    printf '%s' "$mlcr_keys" >"$mlcr_uses_file"
}

# mlcr_is_being_cleaned ROOT: whether a client is removing mirrors below ROOT at this moment. It
# takes a moment: one that is older is on a machine that cannot be asked, and counts as dead.
mlcr_is_being_cleaned() {
    for mlcr_cleaner in "$1"/used/.clean.*; do
        [ -d "$mlcr_cleaner" ] && mlcr_is_live "$mlcr_cleaner" &&
            [ -n "$(find "$mlcr_cleaner" -prune -mmin -10)" ] && return 0
    done
    return 1
}

# mlcr_read_uses ROOT [report]: set mlcr_live_keys to the keys that live jobs use, separated by
# spaces, or to "*" if a live job does not say what it uses. With "report", report each other job
# that has started as "used=KEY JOB", unless its outputs were pulled or are in a directory of its own.
mlcr_read_uses() {
    mlcr_live_keys=' '
    for mlcr_job in "$1"/jobs/*; do
        [ -d "$mlcr_job" ] || continue
        if mlcr_is_live "$mlcr_job"; then
            if [ -r "$mlcr_job/uses" ]; then
                while read -r mlcr_key; do
                    mlcr_live_keys="$mlcr_live_keys$mlcr_key "
                done <"$mlcr_job/uses"
            else
                mlcr_live_keys="$mlcr_live_keys* "
            fi
        elif [ -n "${2-}" ] && mlcr_may_have_outputs "$mlcr_job"; then
            while read -r mlcr_key; do
                mlcr_print_record used "$mlcr_key ${mlcr_job##*/}"
            done <"$mlcr_job/uses"
        fi
    done
}

# mlcr_may_have_outputs JOB: whether JOB, which has ended, may have outputs in a mirror that no
# client has pulled, as far as the host knows.
mlcr_may_have_outputs() {
    [ -r "$1/uses" ] && [ -e "$1/tasks/1/started" ] && [ ! -e "$1/pulled" ] &&
        [ ! -d "${1%/*/*}/trials/${1##*/}" ]
}

# mlcr_note_unpulled JOB: note in what JOB used that its outputs there were not pulled.
mlcr_note_unpulled() {
    mlcr_may_have_outputs "$1" || return 0
    while read -r mlcr_key; do
        case $mlcr_key in
        images/*) ;;
        *) printf '%s\n' "${1##*/}" >>"${1%/*/*}/used/$mlcr_key.unpulled" || return 1 ;;
        esac
    done <"$1/uses"
}

# mlcr_is_in_use KEY: whether a live job uses KEY, as mlcr_read_uses found; or whether KEY is the
# workspace of a trial whose job exists, live or not, below mlcr_root.
mlcr_is_in_use() {
    case $1 in
    trials/*) [ ! -e "$mlcr_root/jobs/${1#*/}" ] || return 0 ;;
    esac
    case $mlcr_live_keys in
    *" $1 "* | *' * '*) return 0 ;;
    esac
    return 1
}

# mlcr_read_file_clock DIRECTORY: set mlcr_now to the time by the clock of the file system, which may
# be another machine's.
mlcr_read_file_clock() {
    mlcr_now=$(
        touch "$1/.now" 2>/dev/null && stat -c %Y -- "$1/.now" 2>/dev/null
    ) || mlcr_now=$(date +%s)
}

# mlcr_read_last_use ROOT KEY: set mlcr_last_use to the time at which a job last claimed KEY, and
# mlcr_stamp to its file. Without that file (an older client), mlcr_stamp is empty, and the time is
# the newest of these: the last change of the directory or of its workspace, and the requests of
# jobs that name it. Empty: unknown.
mlcr_read_last_use() {
    mlcr_stamp=$1/used/$2
    if [ -f "$mlcr_stamp" ]; then
        mlcr_last_use=$(stat -c %Y -- "$mlcr_stamp" 2>/dev/null)
        return 0
    fi
    mlcr_stamp=
    mlcr_last_use=$(
        {
            stat -c %Z -- "$1/$2" "$1/$2/workspace" 2>/dev/null
            grep -lF -- "/$2/" "$1"/jobs/*/request 2>/dev/null | tr '\n' '\000' |
                xargs -0 stat -c %Y -- 2>/dev/null
        } | sort -n | tail -n 1
    )
}
