# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# A container may write files as root or another user. The user who ran the task could then neither
# read, change nor delete them, so these functions change the owner after the task. A few small
# files that everyone can read, in the user's own directories, are replaced by copies, which is
# fast. For all other files an engine's root must change the owner, which costs the start of a
# container. Called by the supervisor.
#
# The container has owned these directories, so every name in them may be a trap. Nothing is written
# there by name: copies are made in a new directory that only this user can reach, and renamed into
# the current directory, which is a descriptor. A rename replaces a link and never follows it.

# mlcr_chown_outputs DIRECTORY ROOT UID COUNT [SOURCE TARGET]... WORD...: make user UID the owner of
# other users' files in the COUNT directories SOURCE that the task of DIRECTORY could write to.
# WORD... runs chown(1) in a container that mounts each SOURCE at TARGET; the owner and targets are
# appended. Nothing outside ROOT is changed, wherever links point.
mlcr_chown_outputs() {
    mlcr_task_directory=$1
    mlcr_resolve_directory "$2" || {
        echo "$2: cannot be entered" >&2
        return 1
    }
    mlcr_root=$mlcr_real_path
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
    # In a rootless engine, root is the user.
    ! mlcr_is_rootless "$mlcr_task_directory" || mlcr_owner=0:0
    # shellcheck disable=SC2086 # targets are words
    mlcr_run_limited 3600 "$@" "$mlcr_owner" $mlcr_targets
}

# mlcr_is_below_root DIRECTORY: whether DIRECTORY is below mlcr_root; set mlcr_real_path to its real
# path. Without this check an engine would follow a link to a directory outside our root.
mlcr_is_below_root() {
    mlcr_resolve_directory "$1" || return 1
    case $mlcr_real_path in
    "$mlcr_root"/*) ;;
    *) return 1 ;;
    esac
}

# mlcr_print_amount COUNT: read the output of find; print "none", "few" (at most COUNT) or "much".
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

# mlcr_replace_by_copies COUNT [SOURCE TARGET]... WORD...: replace other users' files and links by
# copies if they are few, small and readable; fail if a file keeps another owner. One find searches
# all directories, because each process makes every run slower.
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
    # "much" precedes directories, pipes, large files, and files that the user cannot read.
    mlcr_found=$(
        find "$@" -xdev ! -user "$mlcr_uid" \( \
            \( ! -type f ! -type l -o -type f ! -perm -004 -o -size +2048 \) \
            -exec echo much {} + -o -print \) 2>/dev/null | mlcr_print_amount 50
    )
    case $mlcr_found in
    none) exit 0 ;;
    much) exit 1 ;;
    esac
    mlcr_copies=$(mktemp -d "$mlcr_task_directory/copies.XXXXXXXX") || exit 1
    # shellcheck disable=SC2016 # expanded by the inner shell
    find "$@" -xdev ! -user "$mlcr_uid" -exec sh -c '
        copies=$1
        shift
        status=0
        for file; do
            name=${file##*/}
            # find has followed no link to the directory, and its path contains none.
            cd -P -- "${file%/*}" && [ "$PWD" = "${file%/*}" ] &&
                cp -Pp -- "./$name" "$copies/$name" && mv -f -- "$copies/$name" . || {
                rm -f -- "$copies/$name"
                status=1
            }
        done
        exit $status
    ' sh "$mlcr_copies" {} + 2>/dev/null
    mlcr_status=$?
    rmdir -- "$mlcr_copies"
    exit $mlcr_status
)

# mlcr_has_foreign_files DIRECTORY: whether DIRECTORY is below our root and contains another user's
# file.
mlcr_has_foreign_files() {
    mlcr_is_below_root "$1" || return 1
    find "$mlcr_real_path" -xdev ! -user "$mlcr_uid" -exec echo much {} + 2>/dev/null | read -r _
}

# mlcr_is_rootless DIRECTORY: whether the engine of a task runs without privileges.
mlcr_is_rootless() {
    # The first format is Podman's, the second Docker's; each fails with the other engine.
    for mlcr_format in '{{.Host.Security.Rootless}}' '{{.SecurityOptions}}'; do
        case $(mlcr_ask_engine "$1" info --format "$mlcr_format" 2>/dev/null) in
        true | *rootless*) return 0 ;;
        false) return 1 ;;
        esac
    done
    return 1
}
