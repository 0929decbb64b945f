# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Directories that a container may have changed: follow no link out of them. A task can replace what
# is in its workspace by links, and an engine follows them when it mounts a path. So every path is
# resolved by the kernel each time before it is used, and must be inside its area: a directory that
# no container can replace. Used by files.sh, launch.sh, chown_outputs.sh and the supervisor.
#
# The client names an area by two words: ANCHOR, a directory that the user named, where links are the
# user's own; and REST, the path of the area below it, where every link is refused. A path that the
# user gave is its own area, as it is when the job is launched: ANCHOR is the path, REST is empty.
#
# What remains: a path could change between its check and its use, because sh has no descriptors of
# directories and engines take paths. Only containers write there, and none that can runs meanwhile:
# one run at a time uses a workspace, its tasks run one after the other, no process of a task stays
# after its end, and the jobs of a sweep mount what they share read-only.

# mlcr_resolve_directory DIRECTORY: set mlcr_real_path to its path without links; fail if it does not
# exist.
mlcr_resolve_directory() {
    # $(...) removes newlines from the end, also those of a name.
    if mlcr_real_path=$(cd -P -- "$1" 2>/dev/null && pwd -P && echo x); then
        mlcr_real_path=${mlcr_real_path%?x}
    else
        # The engine may be able to enter a directory that this user cannot.
        case ${1##*/} in '' | . | ..) return 1 ;; esac
        if ! [ -d "$1" ] || [ -L "$1" ]; then return 1; fi
        mlcr_real_path=$(cd -P -- "${1%/*}/" 2>/dev/null && pwd -P && echo x) || return 1
        mlcr_real_path=${mlcr_real_path%?x}
        mlcr_real_path=${mlcr_real_path%/}/${1##*/}
    fi
    # In some shells, two slashes at the start stay.
    case $mlcr_real_path in //*) mlcr_real_path=${mlcr_real_path#/} ;; esac
}

# mlcr_find_area ANCHOR REST: set mlcr_area to the path of an area without links; create ANCHOR if it
# does not exist.
mlcr_find_area() {
    if [ "$1" != "${mlcr_last_anchor-}" ]; then
        mlcr_resolve_directory "$1" || { mkdir -p -- "$1" && mlcr_resolve_directory "$1"; } ||
            return 1
        mlcr_last_anchor=$1
        mlcr_anchor=$mlcr_real_path
    fi
    mlcr_area=$mlcr_anchor
    [ -z "$2" ] || mlcr_area=${mlcr_anchor%/}/$2
}

# mlcr_confine AREA PATH [existing]: set mlcr_real_path to PATH without links. Create the directory
# unless it exists or "existing" is given. Status 20, with the reason on stderr: it is outside AREA,
# which contains no link; 1: it cannot be created.
mlcr_confine() {
    mlcr_missing=
    mlcr_existing=$2
    while ! [ -d "$mlcr_existing" ]; do
        mlcr_name=${mlcr_existing##*/}
        if [ -n "$mlcr_name" ] && { [ -e "$mlcr_existing" ] || [ -L "$mlcr_existing" ]; }; then
            mlcr_explain_obstacle "$2" "$mlcr_existing"
            return
        fi
        case $mlcr_name in
        '' | .) ;;
        ..)
            echo "$2: $mlcr_existing does not exist" >&2
            return 1
            ;;
        *) mlcr_missing=/$mlcr_name$mlcr_missing ;;
        esac
        mlcr_existing=${mlcr_existing%/*}
        [ -n "$mlcr_existing" ] || mlcr_existing=/
    done
    mlcr_resolve_directory "$mlcr_existing" || {
        echo "$2: $mlcr_existing cannot be entered" >&2
        return 1
    }
    mlcr_existing=$mlcr_real_path
    [ -z "$mlcr_missing" ] || mlcr_real_path=${mlcr_real_path%/}$mlcr_missing
    case ${mlcr_real_path%/}/ in
    "${1%/}"/*) ;;
    *)
        echo "$2 leads to $mlcr_real_path, which is outside $1" >&2
        return 20
        ;;
    esac
    [ -z "$mlcr_missing" ] || [ -n "${3-}" ] ||
        (cd -P -- "$mlcr_existing" && mkdir -p -- ".$mlcr_missing")
}

# mlcr_explain_obstacle PATH ENTRY: print why PATH is no directory: ENTRY, a part of it, is a file or
# a link to nothing, which would lead out as soon as its target exists. Return the status.
mlcr_explain_obstacle() {
    if [ -L "$1" ] || [ -L "$2" ]; then
        echo "$1 leads nowhere: $2 is a link to something that is not a directory" >&2
        return 20
    fi
    echo "$1: $2 is not a directory: File exists" >&2
    return 1
}

# mlcr_check_inside AREA PATH: make sure that PATH, a file or directory that may not exist, is inside
# AREA when all links are followed. Statuses are those of mlcr_confine.
mlcr_check_inside() {
    if [ -d "$2" ]; then
        mlcr_confine "$1" "$2" existing
        return
    fi
    [ -e "$2" ] || [ -L "$2" ] || return 0
    mlcr_real_path=$(readlink -f -- "$2" && echo x) || mlcr_real_path='an unknown place x'
    mlcr_real_path=${mlcr_real_path%?x}
    case $mlcr_real_path in
    "${1%/}"/*) ;;
    *)
        echo "$2 leads to $mlcr_real_path, which is outside $1" >&2
        return 20
        ;;
    esac
}

# mlcr_check_sources [ANCHOR REST PATH]...: do this for each file or directory that an image is built
# from. Statuses are those of mlcr_confine.
mlcr_check_sources() {
    while [ $# -ge 3 ]; do
        mlcr_find_area "$1" "$2" || return 1
        mlcr_check_inside "$mlcr_area" "$3" || return
        shift 3
    done
}

# mlcr_quote WORD: set mlcr_quoted to WORD, quoted for a shell.
mlcr_quote() {
    mlcr_quoted=
    mlcr_unquoted=$1
    while :; do
        case $mlcr_unquoted in
        *"'"*) ;;
        *) break ;;
        esac
        mlcr_quoted=$mlcr_quoted${mlcr_unquoted%%"'"*}"'\\''"
        mlcr_unquoted=${mlcr_unquoted#*"'"}
    done
    mlcr_quoted="'$mlcr_quoted$mlcr_unquoted'"
}

# mlcr_write_mounts FILE [ANCHOR REST DIRECTORY]...: write shell text that sets the parameters of
# mlcr_check_mounts. Areas are resolved here, before the first task of the job can change anything.
mlcr_write_mounts() {
    mlcr_mounts_file=$1
    mlcr_mounts=
    shift
    while [ $# -ge 3 ]; do
        mlcr_find_area "$1" "$2" || return 1
        mlcr_quote "$mlcr_area"
        mlcr_mounts="$mlcr_mounts $mlcr_quoted"
        mlcr_quote "$3"
        mlcr_mounts="$mlcr_mounts $mlcr_quoted"
        shift 3
    done
    printf 'set --%s\n' "$mlcr_mounts" >"$mlcr_mounts_file"
}

# mlcr_check_mounts [AREA DIRECTORY]...: make sure that each directory that a task mounts is inside
# its area. Create it if an earlier task removed it, unless mlcr_existing_only is set. Statuses are
# those of mlcr_confine.
mlcr_check_mounts() {
    umask 022
    while [ $# -ge 2 ]; do
        mlcr_confine "$1" "$2" ${mlcr_existing_only:+existing} || return
        shift 2
    done
}
