# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# What a container wrote as root, or as anybody else, is given to the user who ran it: who may
# neither read, change nor delete a file has not got it. A few small files that all may read, in
# directories of the user's, are replaced by copies, which takes no time. All else only an engine's
# root can give, and that costs the start of a container.

# mlcr_own DIRECTORY ROOT COUNT [SOURCE TARGET]... WORD...: of COUNT directories that the task of
# DIRECTORY could write to, make the user the owner of what others own in them. WORD... runs chown(1)
# in a container that sees each SOURCE as TARGET; an owner and targets go behind it. Nothing outside
# ROOT is touched, wherever links lead.
mlcr_own() {
    mlcr_task=$1
    mlcr_root=$(cd -P -- "$2" && pwd -P) || return 1
    mlcr_count=$3
    shift 3
    mlcr_whoami
    # shellcheck disable=SC2154 # mlcr_whoami sets it
    [ "$mlcr_uid" -ne 0 ] || return 0
    mlcr_targets=
    while [ "$mlcr_count" -gt 0 ]; do
        if mlcr_is_foreign "$1" "$mlcr_root" &&
            ! { mlcr_can_be_copied "$mlcr_real" && mlcr_copy_own "$mlcr_real"; }; then
            mlcr_targets="$mlcr_targets $2"
        fi
        shift 2
        mlcr_count=$((mlcr_count - 1))
    done
    [ -n "$mlcr_targets" ] || return 0
    mlcr_owner=$mlcr_uid:$(id -g)
    # Without privileges an engine's root is the user.
    ! mlcr_is_rootless "$mlcr_task" || mlcr_owner=0:0
    # shellcheck disable=SC2086 # targets are words
    mlcr_limited 3600 "$@" "$mlcr_owner" $mlcr_targets
}

# mlcr_is_foreign DIRECTORY ROOT: whether DIRECTORY, which really is mlcr_real, is below ROOT, and
# somebody else owns something in it. An engine would follow a link to where nothing is ours.
mlcr_is_foreign() {
    mlcr_real=$(cd -P -- "$1" 2>/dev/null && pwd -P) || return 1
    case $mlcr_real in
    "$2"/*) ;;
    *) return 1 ;;
    esac
    find "$mlcr_real" -xdev ! -user "$mlcr_uid" -print 2>/dev/null | mlcr_is_more_than 0
}

# mlcr_is_more_than COUNT: whether standard input has more than COUNT lines.
mlcr_is_more_than() {
    mlcr_lines=0
    while [ "$mlcr_lines" -le "$1" ]; do
        read -r _ || return 1
        mlcr_lines=$((mlcr_lines + 1))
    done
}

# mlcr_can_be_copied DIRECTORY: whether what others own there is little, and nothing that the user
# may not read or, if it is a directory, not empty.
mlcr_can_be_copied() {
    ! find "$1" -xdev ! -user "$mlcr_uid" \( -type d -o -type f ! -perm -004 -o -size +2048 \) \
        -print 2>/dev/null | mlcr_is_more_than 0 &&
        ! find "$1" -xdev ! -user "$mlcr_uid" -print 2>/dev/null | mlcr_is_more_than 50
}

# mlcr_copy_own DIRECTORY: put copies in the place of others' files and links; fail where that did
# not do, on a full disk or with pipes among them.
mlcr_copy_own() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    find "$1" -xdev ! -user "$mlcr_uid" \( -type f -o -type l \) -exec sh -c '
        for file; do
            new=${file%/*}/.mlcube-remote-own.$$
            cp -Pp -- "$file" "$new" && mv -f -- "$new" "$file" || rm -f -- "$new"
        done
    ' sh {} + 2>/dev/null
    ! find "$1" -xdev ! -user "$mlcr_uid" -print 2>/dev/null | mlcr_is_more_than 0
}

# mlcr_is_rootless DIRECTORY: whether the engine of a task runs without privileges.
mlcr_is_rootless() {
    # The first is Podman's way to ask, the second Docker's; each fails for the other.
    for mlcr_format in '{{.Host.Security.Rootless}}' '{{.SecurityOptions}}'; do
        case $(mlcr_engine_of "$1" info --format "$mlcr_format" 2>/dev/null) in
        true | *rootless*) return 0 ;;
        false) return 1 ;;
        esac
    done
    return 1
}
