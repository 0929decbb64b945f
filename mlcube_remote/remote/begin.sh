# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What can be known only when a task begins, because an earlier task of the job makes it: whether an
# input exists, and whether it is a file or a directory. Called by launch.sh and the supervisor.
# These files of the task's directory belong to it:
#
#   begin            shell text that sets the parameters for mlcr_check_begin
#   command.TYPES    the command for these types of the inputs, one letter each: f (file) or d
#   own.TYPES        the arguments of mlcr_chown_outputs for it
#   refused          why the task did not start

# mlcr_write_begin DIRECTORY CHECKS [TYPES COMMAND OWN]...: write these files. CHECKS, COMMAND and
# OWN were quoted by the client.
mlcr_write_begin() {
    printf 'set -- %s\n' "$2" >"$1/begin" || return 1
    mlcr_dir=$1
    shift 2
    while [ $# -ge 3 ]; do
        printf 'set -- %s\n' "$2" >"$mlcr_dir/command.$1" || return 1
        [ -z "$3" ] || printf 'set -- %s\n' "$3" >"$mlcr_dir/own.$1" || return 1
        shift 3
    done
}

# mlcr_begin_task DIRECTORY: create the directories that the task expects, check its inputs, and
# choose its command. If that fails, save the reason, also in the task's log.
mlcr_begin_task() {
    [ -e "$1/begin" ] || return 0
    mlcr_reason=$(mlcr_check_begin "$1" 2>&1) && return 0
    printf '%s\n' "$mlcr_reason" >"$1/refused"
    printf 'mlcube-remote: %s\n' "$mlcr_reason" >>"$1/stderr"
    return 1
}

# mlcr_check_begin DIRECTORY: create the directories, require the files, and choose the command for
# the inputs. The file "begin" sets the parameters to COUNT [ROOT DIRECTORY]... COUNT [NAME FILE]...
# COUNT [NAME INPUT]... An INPUT without a NAME may be missing: it counts as a file.
mlcr_check_begin() (
    exec </dev/null 9>&-
    umask 022
    mlcr_dir=$1
    # shellcheck disable=SC1091 # made by mlcr_write_begin
    . "$mlcr_dir/begin"
    mlcr_left=$1
    shift
    while [ "$mlcr_left" -gt 0 ]; do
        mlcr_make_late_directory "$1" "$2" || return 1
        shift 2
        mlcr_left=$((mlcr_left - 1))
    done
    mlcr_left=$1
    shift
    while [ "$mlcr_left" -gt 0 ]; do
        [ -e "$2" ] || mlcr_print_missing "$1" "$2" || return 1
        shift 2
        mlcr_left=$((mlcr_left - 1))
    done
    shift
    mlcr_types=
    while [ $# -gt 0 ]; do
        [ -e "$2" ] || [ -z "$1" ] || mlcr_print_missing "$1" "$2" || return 1
        if [ -d "$2" ]; then
            mlcr_types=${mlcr_types}d
        else
            mlcr_types=${mlcr_types}f
        fi
        shift 2
    done
    [ -n "$mlcr_types" ] || return 0
    # A rename needs no disk space.
    mv -f -- "$mlcr_dir/command.$mlcr_types" "$mlcr_dir/command" || return 1
    rm -f -- "$mlcr_dir/own"
    [ ! -e "$mlcr_dir/own.$mlcr_types" ] ||
        mv -f -- "$mlcr_dir/own.$mlcr_types" "$mlcr_dir/own"
)

# mlcr_print_missing NAME PATH: print that an input does not exist, and fail.
mlcr_print_missing() {
    printf 'input %s: %s does not exist, and no earlier task has made it\n' "$1" "$2"
    return 1
}

# mlcr_make_late_directory ROOT DIRECTORY: create DIRECTORY, unless it exists. An earlier task may
# have left links: the directory must be inside ROOT, unless ROOT is empty.
mlcr_make_late_directory() {
    [ ! -d "$2" ] || return 0
    mlcr_existing=$2
    until [ -e "$mlcr_existing" ] || [ -L "$mlcr_existing" ] || [ -z "$mlcr_existing" ]; do
        mlcr_existing=${mlcr_existing%/*}
    done
    if [ -n "$1" ]; then
        mlcr_outer=$(cd -P -- "$1" && pwd -P) &&
            mlcr_inner=$(cd -P -- "${mlcr_existing:-/}" && pwd -P) || return 1
        case $mlcr_inner/ in
        "${mlcr_outer%/}"/*) ;;
        *)
            printf '%s is a link that leaves %s\n' "$mlcr_existing" "$1"
            return 1
            ;;
        esac
    fi
    mkdir -p -- "$2"
}
