# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# Who has which GPU, told between users who can read nothing of each other's. In a directory where
# everybody may write and nobody may remove what is another's, a lease is an empty directory named
#
#   GPU=UID=BOOT=PID=STARTTIME=JOB    of the process that the job depends on
#
# All is in the name: what a stranger might prepare there is neither written through nor believed
# for longer than the process lives.

# mlcr_know_common: set mlcr_common to that directory; fail where the machine has no place for one.
# /run/lock is emptied with a reboot, and only then. Tests name places of their own.
mlcr_know_common() {
    [ -z "${mlcr_common-}" ] || return 0
    for mlcr_place in ${MLCR_PLACES:-/run/lock /var/tmp}; do
        mlcr_is_everybodys "$mlcr_place" || continue
        mlcr_common=$mlcr_place/mlcube-remote-gpus
        [ -d "$mlcr_common" ] || mkdir -m 1777 -- "$mlcr_common" 2>/dev/null || :
        ! mlcr_is_everybodys "$mlcr_common" || return 0
    done
    mlcr_common=
    return 1
}

# mlcr_is_everybodys DIRECTORY: whether everybody may write there, and remove only what is his own.
mlcr_is_everybodys() {
    [ -n "$(find "$1" -prune -type d -perm -1002 2>/dev/null)" ]
}

# mlcr_tell JOB: tell that JOB has the GPUs in its file "gpus", for as long as the process lives that
# it depends on: first its client's connection, then its supervisor.
mlcr_tell() {
    if ! { [ -s "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    mlcr_by=$1/owner
    [ -s "$mlcr_by" ] || mlcr_by=$1/preparing
    read -r mlcr_boot mlcr_pid mlcr_start _ <"$mlcr_by"
    read -r mlcr_gpus <"$1/gpus"
    [ -n "${mlcr_uid-}" ] || mlcr_whoami
    mlcr_as=$mlcr_uid=$mlcr_boot=$mlcr_pid=$mlcr_start=${1##*/}
    for mlcr_gpu in $mlcr_gpus; do
        mkdir -- "$mlcr_common/$mlcr_gpu=$mlcr_as" 2>/dev/null ||
            [ -d "$mlcr_common/$mlcr_gpu=$mlcr_as" ] || return 1
    done
    # What the process before it told of the same devices.
    for mlcr_told in "$mlcr_common"/*="${1##*/}"; do
        case $mlcr_told in
        *="$mlcr_as") ;;
        *) rmdir -- "$mlcr_told" 2>/dev/null || : ;;
        esac
    done
}

# mlcr_withdraw JOB: tell no more of JOB.
mlcr_withdraw() {
    if ! { [ -e "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    for mlcr_told in "$mlcr_common"/*="${1##*/}"; do
        rmdir -- "$mlcr_told" 2>/dev/null || :
    done
}

# mlcr_renew JOB: have what JOB told believed for another minute, while it changes hands.
mlcr_renew() {
    if ! { [ -e "$1/gpus" ] && mlcr_know_common; }; then return 0; fi
    for mlcr_told in "$mlcr_common"/*="${1##*/}"; do
        [ ! -d "$mlcr_told" ] || touch -- "$mlcr_told"
    done
}

# mlcr_forget JOBS: withdraw what dead jobs of this user told.
mlcr_forget() {
    mlcr_know_common || return 0
    for mlcr_told in "$mlcr_common"/*="$mlcr_uid"=*; do
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
        for mlcr_told in "$mlcr_common/$mlcr_gpu"=*; do
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
# may have handed the job on, and where processes of others are hidden nobody can say.
mlcr_is_believed() (
    mlcr_entry=$1
    IFS='='
    # shellcheck disable=SC2086 # fields
    set -- ${1##*/}
    unset IFS
    mlcr_know_boot
    [ "$3" = "$mlcr_this_boot" ] || exit 1
    [ -r /proc/1/stat ] || exit 0
    mlcr_lives "$3" "$4" "$5" || [ -z "$(find "$mlcr_entry" -prune -mmin +1 2>/dev/null)" ]
)
