# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Who has which GPU, told between users who can read nothing of each other's. Where everybody may
# write and nobody but root may remove what is another's, a lease is an empty directory named
#
#   mlcube-remote-gpu=GPU=UID=BOOT=PID=STARTTIME=JOB    of the process that the job depends on
#
# All is in the name: what a stranger might prepare there is neither written through nor believed
# for longer than the process lives, nor in the name of another user. There is no directory of our
# own around them: whoever had made that could remove what all others put into it.

# mlcr_find_registry: set mlcr_common to how the paths of leases begin; fail where the machine has no
# place for them. /run/lock is emptied with a reboot, and only then. Tests name places of their own.
mlcr_find_registry() {
    [ -z "${mlcr_registry_prefix-}" ] || return 0
    [ -n "${mlcr_uid-}" ] || mlcr_read_user
    for mlcr_candidate in ${MLCR_PLACES:-/run/lock /var/tmp}; do
        mlcr_is_shared_directory "$mlcr_candidate" || continue
        mlcr_registry_prefix=$mlcr_candidate/mlcube-remote-gpu=
        return 0
    done
    return 1
}

# mlcr_is_shared_directory DIRECTORY: whether everybody may write there, and remove only what is his own:
# its owner may remove all, and is root, or this user.
mlcr_is_shared_directory() {
    [ -n "$(find "$1" -prune -type d -perm -1002 \( -user 0 -o -user "$mlcr_uid" \) 2>/dev/null)" ]
}

# mlcr_announce_gpus JOB: tell that JOB has the GPUs in its file "gpus", for as long as the process lives that
# it depends on: first its client's connection, then its supervisor.
mlcr_announce_gpus() {
    if ! { [ -s "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    mlcr_owner_file=$1/owner
    [ -s "$mlcr_owner_file" ] || mlcr_owner_file=$1/preparing
    read -r mlcr_boot_id mlcr_pid mlcr_start_time _ <"$mlcr_owner_file"
    read -r mlcr_gpu_uuids <"$1/gpus"
    mlcr_owner_fields=$mlcr_uid=$mlcr_boot_id=$mlcr_pid=$mlcr_start_time=${1##*/}
    for mlcr_gpu in $mlcr_gpu_uuids; do
        mlcr_announcement=$mlcr_registry_prefix$mlcr_gpu=$mlcr_owner_fields
        mkdir -- "$mlcr_announcement" 2>/dev/null || mlcr_is_created_by "$mlcr_uid" "$mlcr_announcement" ||
            mkdir -- "$mlcr_announcement" || return 1
    done
    # What the process before it told of the same devices.
    for mlcr_announcement in "$mlcr_registry_prefix"*="${1##*/}"; do
        case $mlcr_announcement in
        *="$mlcr_owner_fields") ;;
        *) rmdir -- "$mlcr_announcement" 2>/dev/null || : ;;
        esac
    done
}

# mlcr_is_created_by UID TOLD: whether this is there, and that user's.
mlcr_is_created_by() {
    [ -n "$(find "$2" -prune -type d -user "$1" 2>/dev/null)" ]
}

# mlcr_withdraw_gpus JOB: tell no more of JOB.
mlcr_withdraw_gpus() {
    if ! { [ -e "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    rmdir -- "$mlcr_registry_prefix"*="${1##*/}" 2>/dev/null || :
}

# mlcr_refresh_announcements JOB: have what JOB told believed for another minute, while it changes hands.
mlcr_refresh_announcements() {
    if ! { [ -e "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    touch -c -- "$mlcr_registry_prefix"*="${1##*/}" 2>/dev/null || :
}

# mlcr_remove_stale_announcements JOBS: withdraw what dead jobs of this user told.
mlcr_remove_stale_announcements() {
    mlcr_find_registry || return 0
    for mlcr_announcement in "$mlcr_registry_prefix"*="$mlcr_uid"=*; do
        [ -d "$mlcr_announcement" ] || continue
        mlcr_is_valid_announcement "$mlcr_announcement" || mlcr_is_live "$1/${mlcr_announcement##*=}" ||
            rmdir -- "$mlcr_announcement" 2>/dev/null || :
    done
}

# mlcr_is_announced_by_others JOBS GPU...: whether somebody whose job is not in JOBS tells that one of these
# devices is his.
mlcr_is_announced_by_others() {
    mlcr_find_registry || return 1
    mlcr_own_jobs=$1
    shift
    for mlcr_gpu in "$@"; do
        for mlcr_announcement in "$mlcr_registry_prefix$mlcr_gpu"=*; do
            ! mlcr_is_foreign_announcement "$mlcr_announcement" "$mlcr_own_jobs" || return 0
        done
    done
    return 1
}

# mlcr_is_foreign_announcement TOLD JOBS: whether this is there, of a job that is not in JOBS, and believed.
mlcr_is_foreign_announcement() {
    [ -d "$1" ] && [ ! -d "$2/${1##*=}" ] && mlcr_is_valid_announcement "$1"
}

# mlcr_is_valid_announcement TOLD: whether the process lives that the name tells of, or may: for a minute it
# may have handed the job on, and where processes of others are hidden nobody can say. Nobody is
# believed to speak for another user.
mlcr_is_valid_announcement() (
    mlcr_entry=$1
    set -f # strangers choose names
    IFS='='
    # shellcheck disable=SC2086 # fields
    set -- ${1#"$mlcr_registry_prefix"}
    unset IFS
    mlcr_read_boot_id
    [ "$3" = "$mlcr_this_boot_id" ] && mlcr_is_created_by "$2" "$mlcr_entry" || exit 1
    [ -r /proc/1/stat ] || exit 0
    mlcr_is_process_alive "$3" "$4" "$5" || [ -z "$(find "$mlcr_entry" -prune -mmin +1 2>/dev/null)" ]
)
