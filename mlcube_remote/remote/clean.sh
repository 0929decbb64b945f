# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Delete what ended jobs left on the host. Called by jobs/ for "clean".

# mlcr_remove_job ROOT ID [unpulled]: delete the directory of a job that has ended, and what is left
# of its containers. "unpulled": the client does not know that its outputs were pulled; so note in the
# mirror that it may contain some. Status 18: it may still run; 1: there is no such job.
mlcr_remove_job() {
    case $2 in
    */* | .* | '') return 1 ;;
    esac
    mlcr_expand_home "$1"
    mlcr_jobs=$mlcr_expanded/jobs
    [ -d "$mlcr_jobs/$2" ] || return 1
    ! mlcr_is_live "$mlcr_jobs/$2" || return 18
    mlcr_withdraw_gpus "$mlcr_jobs/$2"
    [ -z "${3-}" ] || mlcr_note_unpulled "$mlcr_jobs/$2" || return 1
    # If two clients remove the job, the rename succeeds for one of them.
    mv -- "$mlcr_jobs/$2" "$mlcr_jobs/.removed.$2.$$" 2>/dev/null || return 1
    for mlcr_dir in "$mlcr_jobs/.removed.$2.$$"/tasks/*; do
        [ ! -e "$mlcr_dir/container" ] || mlcr_remove_container "$mlcr_dir" "$2"
    done
    # The workspace of a sweep job is kept until its outputs are pulled.
    [ ! -e "$mlcr_jobs/.removed.$2.$$/pulled" ] || rm -rf -- "${mlcr_jobs%/*}/trials/$2"
    rm -rf -- "$mlcr_jobs/.removed.$2.$$"
}

# mlcr_remove_leftovers ROOT: delete what no job needs and no job's directory contains, if it is a
# day old: lock entries outside the chain, job directories whose removal was interrupted, and images
# whose transfer was.
mlcr_remove_leftovers() {
    mlcr_expand_home "$1"
    mlcr_root=$mlcr_expanded
    for mlcr_lock_directory in "$mlcr_root"/locks/*; do
        [ -d "$mlcr_lock_directory" ] || continue
        mlcr_read_chain "$mlcr_lock_directory"
        find "$mlcr_lock_directory" -type f ! -name first -mmin +1440 |
            while IFS= read -r mlcr_entry; do
                case $mlcr_chain_entries in
                *"/${mlcr_entry##*/after.}/"*) ;;
                *) rm -f -- "$mlcr_entry" ;;
                esac
            done
    done
    find "$mlcr_root/jobs" -name '.removed.*' -prune -mmin +1440 -exec rm -rf -- {} +
    [ ! -d "$mlcr_root/images" ] ||
        find "$mlcr_root/images" -name 'ship-*' -prune -mmin +1440 -exec rm -rf -- {} +
}
