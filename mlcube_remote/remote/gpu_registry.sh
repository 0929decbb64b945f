# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Announce GPU leases to users who cannot read each other's files. Used by gpu_leases.sh, usage.sh,
# launch.sh, clean.sh and the supervisor. In a directory where everyone can write and only root can
# remove other users' entries, a lease is an empty directory with the name
#
#   mlcube-remote-gpu=GPU=UID=BOOT=PID=STARTTIME=JOB    of the process that the job depends on
#
# The name contains everything: an entry that another user creates is never written through, is
# valid only while its process lives, and is ignored if it claims to be from a third user. The
# entries have no common parent directory of ours: the user who creates it could remove all other
# users' entries.

# mlcr_find_registry: set mlcr_registry_prefix to the start of the paths of all leases; fail if the
# machine has no suitable directory. /run/lock is emptied at a reboot, and only then. Tests set
# MLCR_PLACES to directories of their own.
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

# mlcr_is_shared_directory DIRECTORY: whether every user can write to it, and can remove only
# entries of their own. Its owner can remove all entries, so that must be root or this user.
mlcr_is_shared_directory() {
    [ -n "$(find "$1" -prune -type d -perm -1002 \( -user 0 -o -user "$mlcr_uid" \) 2>/dev/null)" ]
}

# mlcr_announce_gpus JOB: announce the GPUs in the file "gpus" of JOB. The announcement is valid
# while the process lives that the job depends on: first its client's connection, then its
# supervisor.
mlcr_announce_gpus() {
    if ! { [ -s "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    mlcr_owner_file=$1/owner
    [ -s "$mlcr_owner_file" ] || mlcr_owner_file=$1/preparing
    read -r mlcr_boot_id mlcr_pid mlcr_start_time _ <"$mlcr_owner_file"
    read -r mlcr_gpu_uuids <"$1/gpus"
    mlcr_owner_fields=$mlcr_uid=$mlcr_boot_id=$mlcr_pid=$mlcr_start_time=${1##*/}
    for mlcr_gpu in $mlcr_gpu_uuids; do
        mlcr_announcement=$mlcr_registry_prefix$mlcr_gpu=$mlcr_owner_fields
        mkdir -- "$mlcr_announcement" 2>/dev/null ||
            mlcr_is_created_by "$mlcr_uid" "$mlcr_announcement" ||
            mkdir -- "$mlcr_announcement" || return 1
    done
    # Remove the announcements of the job's previous process.
    for mlcr_announcement in "$mlcr_registry_prefix"*="${1##*/}"; do
        case $mlcr_announcement in
        *="$mlcr_owner_fields") ;;
        *) rmdir -- "$mlcr_announcement" 2>/dev/null || : ;;
        esac
    done
}

# mlcr_is_created_by UID ANNOUNCEMENT: whether it exists and belongs to that user.
mlcr_is_created_by() {
    [ -n "$(find "$2" -prune -type d -user "$1" 2>/dev/null)" ]
}

# mlcr_withdraw_gpus JOB: remove the announcements of JOB.
mlcr_withdraw_gpus() {
    if ! { [ -e "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    rmdir -- "$mlcr_registry_prefix"*="${1##*/}" 2>/dev/null || :
}

# mlcr_refresh_announcements JOB: keep the announcements of JOB valid for another minute, in which
# the supervisor replaces the client's connection.
mlcr_refresh_announcements() {
    if ! { [ -e "$1/gpus" ] && mlcr_find_registry; }; then return 0; fi
    touch -c -- "$mlcr_registry_prefix"*="${1##*/}" 2>/dev/null || :
}

# mlcr_remove_stale_announcements JOBS: remove the announcements of this user's dead jobs.
mlcr_remove_stale_announcements() {
    mlcr_find_registry || return 0
    for mlcr_announcement in "$mlcr_registry_prefix"*="$mlcr_uid"=*; do
        [ -d "$mlcr_announcement" ] || continue
        mlcr_is_valid_announcement "$mlcr_announcement" ||
            mlcr_is_live "$1/${mlcr_announcement##*=}" ||
            rmdir -- "$mlcr_announcement" 2>/dev/null || :
    done
}

# mlcr_is_announced_by_others JOBS GPU...: whether a job outside JOBS has announced one of these
# devices.
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

# mlcr_is_foreign_announcement ANNOUNCEMENT JOBS: whether it exists, is valid, and is of a job
# outside JOBS.
mlcr_is_foreign_announcement() {
    [ -d "$1" ] && [ ! -d "$2/${1##*=}" ] && mlcr_is_valid_announcement "$1"
}

# mlcr_is_valid_announcement ANNOUNCEMENT: whether the process in its name is alive, or may be: the
# job may have passed to another process within the last minute, and some machines hide the
# processes of other users. An announcement in the name of another user is invalid.
mlcr_is_valid_announcement() (
    mlcr_entry=$1
    set -f # other users choose the names
    IFS='='
    # shellcheck disable=SC2086 # fields
    set -- ${1#"$mlcr_registry_prefix"}
    unset IFS
    mlcr_read_boot_id
    [ "$3" = "$mlcr_this_boot_id" ] && mlcr_is_created_by "$2" "$mlcr_entry" || exit 1
    [ -r /proc/1/stat ] || exit 0
    mlcr_is_process_alive "$3" "$4" "$5" ||
        [ -z "$(find "$mlcr_entry" -prune -mmin +1 2>/dev/null)" ]
)
