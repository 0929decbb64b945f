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
#   image            shell text that sets the parameters for mlcr_check_inside: the image, if it is a
#                    file that an earlier task could have replaced; may not exist
#   mounts           shell text that sets the parameters for mlcr_check_mounts
#   mounts.TYPES     the same for these types
#   refused          why the task did not start
#   unsafe           the same, if a link leads from a directory that it mounts to another place

# mlcr_write_begin DIRECTORY CHECKS [TYPES COMMAND OWN MOUNTS]...: write these files. CHECKS and what
# follows TYPES were quoted by the client.
mlcr_write_begin() {
    printf 'set -- %s\n' "$2" >"$1/begin" || return 1
    mlcr_dir=$1
    shift 2
    while [ $# -ge 4 ]; do
        printf 'set -- %s\n' "$2" >"$mlcr_dir/command.$1" || return 1
        [ -z "$3" ] || printf 'set -- %s\n' "$3" >"$mlcr_dir/own.$1" || return 1
        eval "mlcr_write_mounts \"\$mlcr_dir/mounts.\$1\" $4" || return 1
        shift 4
    done
}

# mlcr_begin_task DIRECTORY: create the directories that the task expects, check its inputs, choose
# its command, and make sure that no link leads from a directory that it mounts to another place. If
# that fails, save the reason, also in the task's log.
mlcr_begin_task() {
    mlcr_reason=$(mlcr_check_begin "$1" 2>&1) && return 0
    mlcr_save_refusal "$1" $? "$mlcr_reason"
    return 1
}

# mlcr_save_refusal DIRECTORY STATUS REASON: save why the task does not start, also in its log. STATUS
# 20: a link leads out.
mlcr_save_refusal() {
    case $2 in
    20) printf '%s\n' "$3" >"$1/unsafe" ;;
    *) printf '%s\n' "$3" >"$1/refused" ;;
    esac
    printf 'mlcube-remote: %s\n' "$3" >>"$1/stderr"
}

# mlcr_check_begin DIRECTORY: do the work of mlcr_begin_task; print the reason if it fails. Status 20:
# a link leads out.
mlcr_check_begin() (
    exec </dev/null 9>&-
    umask 022
    [ ! -e "$1/begin" ] || mlcr_choose_command "$1" || return
    if [ -e "$1/image" ]; then
        mlcr_dir=$1
        # shellcheck disable=SC1091 # made by mlcr_write_mounts
        . "$1/image"
        mlcr_check_inside "$@" || return
        set -- "$mlcr_dir"
    fi
    # shellcheck disable=SC1091 # made by mlcr_write_mounts
    . "$1/mounts"
    mlcr_check_mounts "$@"
)

# mlcr_choose_command DIRECTORY: create the directories, require the files, and choose the command of
# the task for the inputs. Its file "begin" sets the parameters to COUNT [AREA DIRECTORY]... COUNT
# [NAME FILE]... COUNT [NAME INPUT]... An AREA is two words, ANCHOR and REST. An INPUT without a NAME
# may be missing: it counts as a file.
mlcr_choose_command() (
    mlcr_dir=$1
    # shellcheck disable=SC1091 # made by mlcr_write_begin
    . "$mlcr_dir/begin"
    mlcr_left=$1
    shift
    while [ "$mlcr_left" -gt 0 ]; do
        mlcr_find_area "$1" "$2" || return 1
        mlcr_confine "$mlcr_area" "$3" || return
        shift 3
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
    mv -f -- "$mlcr_dir/mounts.$mlcr_types" "$mlcr_dir/mounts" || return 1
    rm -f -- "$mlcr_dir/own"
    [ ! -e "$mlcr_dir/own.$mlcr_types" ] ||
        mv -f -- "$mlcr_dir/own.$mlcr_types" "$mlcr_dir/own"
)

# mlcr_print_missing NAME PATH: print that an input does not exist, and fail.
mlcr_print_missing() {
    printf 'input %s: %s does not exist, and no earlier task has made it\n' "$1" "$2"
    return 1
}
