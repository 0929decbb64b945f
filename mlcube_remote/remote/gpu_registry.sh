# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# Who has which GPU, told between users who can read nothing of each other's. Where everybody may
# write and nobody but root may remove what is another's, a lease is an empty directory named
#
#   mlcube-remote-gpu=GPU=UID=BOOT=PID=STARTTIME=JOB    of the process that the job depends on
#
# All is in the name: what a stranger might prepare there is neither written through nor believed
# for longer than the process lives, nor in the name of another user. There is no directory of our
# own around them: whoever had made that could remove what all others put into it.

# mlcr_know_common: set mlcr_common to how the paths of leases begin; fail where the machine has no
# place for them. /run/lock is emptied with a reboot, and only then. Tests name places of their own.
mlcr_know_common() {
    [ -z "${mlcr_common-}" ] || return 0
    [ -n "${mlcr_uid-}" ] || mlcr_whoami
    for mlcr_place in ${MLCR_PLACES:-/run/lock /var/tmp}; do
        mlcr_is_everybodys "$mlcr_place" || continue
        mlcr_common=$mlcr_place/mlcube-remote-gpu=
        return 0
    done
    return 1
}

# mlcr_is_everybodys DIRECTORY: whether everybody may write there, and remove only what is his own:
# its owner may remove all, and is root, or this user.
mlcr_is_everybodys() {
    [ -n "$(find "$1" -prune -type d -perm -1002 \( -user 0 -o -user "$mlcr_uid" \) 2>/dev/null)" ]
}

# mlcr_tell JOB: tell that JOB has the GPUs in its file "gpus", for as long as the process lives that
# it depends on: first its client's connection, then its supervisor.
mlcr_tell() {
    if ! { [ -s "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    mlcr_by=$1/owner
    [ -s "$mlcr_by" ] || mlcr_by=$1/preparing
    read -r mlcr_boot mlcr_pid mlcr_start _ <"$mlcr_by"
    read -r mlcr_gpus <"$1/gpus"
    mlcr_as=$mlcr_uid=$mlcr_boot=$mlcr_pid=$mlcr_start=${1##*/}
    for mlcr_gpu in $mlcr_gpus; do
        mlcr_told=$mlcr_common$mlcr_gpu=$mlcr_as
        mkdir -- "$mlcr_told" 2>/dev/null || mlcr_is_made_by "$mlcr_uid" "$mlcr_told" ||
            mkdir -- "$mlcr_told" || return 1
    done
    # What the process before it told of the same devices.
    for mlcr_told in "$mlcr_common"*="${1##*/}"; do
        case $mlcr_told in
        *="$mlcr_as") ;;
        *) rmdir -- "$mlcr_told" 2>/dev/null || : ;;
        esac
    done
}

# mlcr_is_made_by UID TOLD: whether this is there, and that user's.
mlcr_is_made_by() {
    [ -n "$(find "$2" -prune -type d -user "$1" 2>/dev/null)" ]
}

# mlcr_withdraw JOB: tell no more of JOB.
mlcr_withdraw() {
    if ! { [ -e "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    rmdir -- "$mlcr_common"*="${1##*/}" 2>/dev/null || :
}

# mlcr_renew JOB: have what JOB told believed for another minute, while it changes hands.
mlcr_renew() {
    if ! { [ -e "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    touch -c -- "$mlcr_common"*="${1##*/}" 2>/dev/null || :
}

# mlcr_forget JOBS: withdraw what dead jobs of this user told.
mlcr_forget() {
    mlcr_know_common || return 0
    for mlcr_told in "$mlcr_common"*="$mlcr_uid"=*; do
        [ -d "$mlcr_told" ] || continue
        mlcr_is_believed "$mlcr_told" || mlcr_is_live "$1/${mlcr_told##*=}" ||
            rmdir -- "$mlcr_told" 2>/dev/null || :
    done
}

# mlcr_others_have JOBS GPU...: whether somebody whose job is not in JOBS tells that one of these
# devices is his.
mlcr_others_have() {
    mlcr_know_common || return 1
    mlcr_ours=$1
    shift
    for mlcr_gpu in "$@"; do
        for mlcr_told in "$mlcr_common$mlcr_gpu"=*; do
            ! mlcr_is_anothers "$mlcr_told" "$mlcr_ours" || return 0
        done
    done
    return 1
}

# mlcr_is_anothers TOLD JOBS: whether this is there, of a job that is not in JOBS, and believed.
mlcr_is_anothers() {
    [ -d "$1" ] && [ ! -d "$2/${1##*=}" ] && mlcr_is_believed "$1"
}

# mlcr_is_believed TOLD: whether the process lives that the name tells of, or may: for a minute it
# may have handed the job on, and where processes of others are hidden nobody can say. Nobody is
# believed to speak for another user.
mlcr_is_believed() (
    mlcr_entry=$1
    set -f # strangers choose names
    IFS='='
    # shellcheck disable=SC2086 # fields
    set -- ${1#"$mlcr_common"}
    unset IFS
    mlcr_know_boot
    [ "$3" = "$mlcr_this_boot" ] && mlcr_is_made_by "$2" "$mlcr_entry" || exit 1
    [ -r /proc/1/stat ] || exit 0
    mlcr_lives "$3" "$4" "$5" || [ -z "$(find "$mlcr_entry" -prune -mmin +1 2>/dev/null)" ]
)
