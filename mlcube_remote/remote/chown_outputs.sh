# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What a container wrote as root, or as anybody else, is given to the user who ran it: who may
# neither read, change nor delete a file has not got it. A few small files that all may read, in
# directories of the user's, are replaced by copies, which takes no time. All else only an engine's
# root can give, and that costs the start of a container.

# mlcr_chown_outputs DIRECTORY ROOT UID COUNT [SOURCE TARGET]... WORD...: of COUNT directories that the task of
# DIRECTORY could write to, make the user UID the owner of what others own in them. WORD... runs
# chown(1) in a container that sees each SOURCE as TARGET; an owner and targets go behind it. Nothing
# outside ROOT is touched, wherever links lead.
mlcr_chown_outputs() {
    mlcr_task_directory=$1
    mlcr_root=$(cd -P -- "$2" && pwd -P) || return 1
    mlcr_uid=$3
    [ "$mlcr_uid" -ne 0 ] || return 0
    shift 3
    ! mlcr_replace_by_copies "$@" || return 0
    mlcr_count=$1
    shift
    mlcr_targets=
    while [ "$mlcr_count" -gt 0 ]; do
        ! mlcr_has_foreign_files "$1" || mlcr_targets="$mlcr_targets $2"
        shift 2
        mlcr_count=$((mlcr_count - 1))
    done
    [ -n "$mlcr_targets" ] || return 0
    mlcr_owner=$mlcr_uid:$(id -g)
    # Without privileges an engine's root is the user.
    ! mlcr_is_rootless "$mlcr_task_directory" || mlcr_owner=0:0
    # shellcheck disable=SC2086 # targets are words
    mlcr_run_limited 3600 "$@" "$mlcr_owner" $mlcr_targets
}

# mlcr_is_below_root DIRECTORY: whether it is below mlcr_root; set mlcr_real to what it really is. An engine
# would follow a link to where nothing is ours.
mlcr_is_below_root() {
    mlcr_real_path=$(cd -P -- "$1" 2>/dev/null && pwd -P) || return 1
    case $mlcr_real_path in
    "$mlcr_root"/*) ;;
    *) return 1 ;;
    esac
}

# mlcr_print_amount COUNT: print "none", "few" or "much", from what find says.
mlcr_print_amount() {
    mlcr_lines=0
    while [ "$mlcr_lines" -le "$1" ] && read -r mlcr_text; do
        case $mlcr_text in
        'much /'*) mlcr_lines=$(($1 + 1)) ;;
        *) mlcr_lines=$((mlcr_lines + 1)) ;;
        esac
    done
    case $mlcr_lines in
    0) echo none ;;
    $(($1 + 1))) echo much ;;
    *) echo few ;;
    esac
}

# mlcr_replace_by_copies COUNT [SOURCE TARGET]... WORD...: put copies in the place of others' files and links,
# if these are few, small, and readable; fail where something stays another's. Every run pays for the
# processes that are started here: one find looks through all directories.
mlcr_replace_by_copies() (
    mlcr_count=$1
    shift
    mlcr_rest=$(($# - 2 * mlcr_count))
    while [ "$mlcr_count" -gt 0 ]; do
        ! mlcr_is_below_root "$1" || set -- "$@" "$mlcr_real_path"
        shift 2
        mlcr_count=$((mlcr_count - 1))
    done
    shift "$mlcr_rest"
    [ $# -gt 0 ] || exit 0
    # With a word before directories, pipes, and files that the user may not read or that are large.
    mlcr_found=$(
        find "$@" -xdev ! -user "$mlcr_uid" \( \
            \( ! -type f ! -type l -o -type f ! -perm -004 -o -size +2048 \) \
            -exec echo much {} + -o -print \) 2>/dev/null | mlcr_print_amount 50
    )
    case $mlcr_found in
    none) exit 0 ;;
    much) exit 1 ;;
    esac
    # shellcheck disable=SC2016 # expanded by the inner shell
    find "$@" -xdev ! -user "$mlcr_uid" -exec sh -c '
        status=0
        for file; do
            new=${file%/*}/.mlcube-remote-own.$$
            cp -Pp -- "$file" "$new" && mv -f -- "$new" "$file" || {
                rm -f -- "$new"
                status=1
            }
        done
        exit $status
    ' sh {} + 2>/dev/null
)

# mlcr_has_foreign_files DIRECTORY: whether it is ours, and holds something that is another's.
mlcr_has_foreign_files() {
    mlcr_is_below_root "$1" || return 1
    find "$mlcr_real_path" -xdev ! -user "$mlcr_uid" -exec echo much {} + 2>/dev/null | read -r _
}

# mlcr_is_rootless DIRECTORY: whether the engine of a task runs without privileges.
mlcr_is_rootless() {
    # The first is Podman's way to ask, the second Docker's; each fails for the other.
    for mlcr_format in '{{.Host.Security.Rootless}}' '{{.SecurityOptions}}'; do
        case $(mlcr_run_engine "$1" info --format "$mlcr_format" 2>/dev/null) in
        true | *rootless*) return 0 ;;
        false) return 1 ;;
        esac
    done
    return 1
}
