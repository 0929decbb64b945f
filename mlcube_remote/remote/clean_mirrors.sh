# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Delete mirrors, data, images and forgotten trials that no job has used for some time. Called by
# jobs/ for "clean".
#
# A job may be claimed at the same moment, also by a client that does not wait for us. So a directory
# is first renamed, to .removing.NAME.PID, and then the jobs are looked at again: if one of them uses
# it, it gets its name back, otherwise it becomes .removed.NAME.PID. Only what has this name is
# deleted. A client that dies in between leaves one of these names for the next client. Renaming
# needs no permission in the directory itself, so its content may belong to other users.

# mlcr_remove_unused ROOT SECONDS AGE OUTPUTS KEY...: delete what the KEYs name, if no job uses it and
# the last use is at least AGE seconds ago. If OUTPUTS is empty, keep what may contain outputs that no
# client has pulled. Deleting takes SECONDS at most; the next call deletes the rest. Report each KEY
# as "removed=KEY", "left=KEY" (something could not be deleted) or "kept=REASON KEY".
mlcr_remove_unused() {
    mlcr_expand_home "$1"
    mlcr_root=$mlcr_expanded
    mlcr_deadline=$(($(date +%s) + $2))
    mlcr_minimum_age=$3
    mlcr_with_outputs=$4
    shift 4
    [ -d "$mlcr_root/jobs" ] && [ -d "$mlcr_root/locks" ] || return 1
    mlcr_make_private_directories "$mlcr_root" "$mlcr_root/used" "$mlcr_root/cubes" \
        "$mlcr_root/workspaces" "$mlcr_root/data" "$mlcr_root/trials" "$mlcr_root/jobs" || return 1
    mlcr_real_root=$(cd -P -- "$mlcr_root" && pwd -P) || return 1
    mlcr_finish_interrupted
    mlcr_cleaner=$mlcr_root/used/.clean.$$
    trap 'rm -rf -- "$mlcr_cleaner"' EXIT
    trap 'exit 143' HUP TERM
    mlcr_identify_process $$
    rm -rf -- "$mlcr_cleaner"
    mkdir -m 0700 -- "$mlcr_cleaner" &&
        mlcr_write_atomically "$mlcr_cleaner/preparing" "$mlcr_process_identity" || return 1
    mlcr_read_file_clock "$mlcr_root/used"
    mlcr_timeout_s=5
    mlcr_read_user
    mlcr_read_uses "$mlcr_root"
    mlcr_aside=
    for mlcr_key in "$@"; do
        mlcr_why=
        mlcr_choose_unused "$mlcr_key" || mlcr_print_record kept "$mlcr_why $mlcr_key"
    done
    mlcr_read_uses "$mlcr_root"
    mlcr_removed=
    for mlcr_key in $mlcr_aside; do
        mlcr_confirm_removal "$mlcr_key"
    done
    rm -rf -- "$mlcr_cleaner"
    for mlcr_key in $mlcr_removed; do
        mlcr_delete_removed "$mlcr_root/${mlcr_key%%/*}/.removed.${mlcr_key#*/}.$$"
        mlcr_print_record "$mlcr_result" "$mlcr_key"
    done
}

# mlcr_choose_unused KEY: rename the directory of KEY, or remove the image, if it may be removed; else
# set mlcr_why to the reason and fail.
mlcr_choose_unused() {
    mlcr_why=name
    mlcr_is_key "$1" || return 1
    mlcr_why=live
    ! mlcr_is_in_use "$1" || return 1
    mlcr_why=age
    mlcr_read_last_use "$mlcr_root" "$1"
    [ -n "$mlcr_last_use" ] && [ $((mlcr_now - mlcr_last_use)) -ge "$mlcr_minimum_age" ] || return 1
    case $1 in
    images/*)
        mlcr_remove_image "$1"
        return
        ;;
    esac
    mlcr_why=outputs
    [ -n "$mlcr_with_outputs" ] ||
        { [ -n "$mlcr_stamp" ] && [ ! -s "$mlcr_stamp.unpulled" ]; } || return 1
    mlcr_why=gone
    [ -d "$mlcr_root/$1" ] && [ ! -L "$mlcr_root/$1" ] || return 1
    mlcr_why=mount
    ! grep -qF " $mlcr_real_root/$1/" /proc/self/mounts 2>/dev/null || return 1
    mlcr_why=error
    mlcr_rename_entry "${1%%/*}" "${1#*/}" ".removing.${1#*/}.$$" || return 1
    mlcr_aside="$mlcr_aside $1"
}

# mlcr_is_key KEY: whether KEY has the form of a name that clients give to a directory below ROOT.
mlcr_is_key() {
    case ${1#*/} in
    .* | */* | *[!A-Za-z0-9._-]*) return 1 ;;
    *-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]) ;;
    *) return 1 ;;
    esac
    case $1 in
    cubes/* | workspaces/* | data/* | trials/* | images/*) ;;
    *) return 1 ;;
    esac
}

# mlcr_rename_entry KIND NAME NEW: rename an entry of the directory KIND, which no container can write;
# fail if NEW exists.
mlcr_rename_entry() (
    cd -P -- "$mlcr_root/$1" || exit 1
    [ ! -e "$3" ] && [ ! -L "$3" ] && mv -- "$2" "$3" 2>/dev/null
)

# mlcr_confirm_removal KEY: decide about a renamed directory, now that no client can have overlooked
# the new name: remove it, or give it its name back.
mlcr_confirm_removal() {
    if ! mlcr_is_in_use "$1"; then
        mlcr_read_last_use "$mlcr_root" "$1"
        if [ -z "$mlcr_stamp" ] || [ $((mlcr_now - mlcr_last_use)) -ge "$mlcr_minimum_age" ]; then
            mlcr_rename_entry "${1%%/*}" ".removing.${1#*/}.$$" ".removed.${1#*/}.$$" || return 0
            rm -f -- "$mlcr_root/used/$1" "$mlcr_root/used/$1.unpulled"
            mlcr_removed="$mlcr_removed $1"
            return 0
        fi
    fi
    mlcr_rename_entry "${1%%/*}" ".removing.${1#*/}.$$" "${1#*/}"
    mlcr_print_record kept "live $1"
}

# mlcr_finish_interrupted: give directories their names back if a client died before it confirmed
# their removal, and delete those whose removal is confirmed.
mlcr_finish_interrupted() {
    ! mlcr_is_being_cleaned "$mlcr_root" || return 0
    for mlcr_path in "$mlcr_root"/used/.clean.*; do
        [ ! -d "$mlcr_path" ] || mlcr_is_live "$mlcr_path" || rm -rf -- "$mlcr_path"
    done
    for mlcr_kind in cubes workspaces data trials; do
        for mlcr_path in "$mlcr_root/$mlcr_kind"/.removing.*; do
            [ -d "$mlcr_path" ] || continue
            mlcr_name=${mlcr_path##*/.removing.}
            mlcr_rename_entry "$mlcr_kind" "${mlcr_path##*/}" "${mlcr_name%.*}" ||
                mlcr_rename_entry "$mlcr_kind" "${mlcr_path##*/}" ".removed.$mlcr_name"
        done
        for mlcr_path in "$mlcr_root/$mlcr_kind"/.removed.*; do
            [ ! -d "$mlcr_path" ] || mlcr_delete_removed "$mlcr_path"
        done
    done
}

# mlcr_delete_removed DIRECTORY: delete it as far as the time allows; set mlcr_result to "removed", or
# to "left" if something of it is left.
mlcr_delete_removed() {
    for mlcr_try in 1 2; do
        mlcr_seconds=$((mlcr_deadline - $(date +%s)))
        [ "$mlcr_seconds" -gt 0 ] || break
        ! mlcr_run_limited "$mlcr_seconds" rm -rf -- "$1" 2>/dev/null || break
        # A task may have made directories read-only.
        [ $mlcr_try = 2 ] ||
            mlcr_unlock_directories "$1"
    done
    mlcr_result=removed
    [ ! -e "$1" ] || mlcr_result=left
}

# mlcr_remove_image KEY: remove an image that a client built for this user; else set mlcr_why.
mlcr_remove_image() {
    mlcr_why=gone
    mlcr_read_image "$1" || return 1
    mlcr_why=foreign
    [ "${mlcr_about#* }" = "$mlcr_uid $mlcr_image" ] || return 1
    mlcr_why=error
    # Without --force, the engine keeps an image that a container uses.
    # shellcheck disable=SC2086 # words
    mlcr_run_limited 60 $mlcr_engine image rm -- "$mlcr_image" >/dev/null 2>&1 || return 1
    rm -f -- "$mlcr_root/used/$1"
    mlcr_print_record removed "$1"
}
