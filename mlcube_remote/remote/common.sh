# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Small helpers that the other files use.
#
# Conventions of the library: a connection calls each function in a subshell with standard input at
# /dev/null. Answers are NUL-terminated "KEY=VALUE" records, because a value may contain any other
# byte. The exit statuses are listed in status.sh. A value that every run needs is put into a
# variable: printing it would start one more process.

# mlcr_print_record KEY VALUE: print one record of an answer. A variable cannot contain NUL, so an
# answer that goes into one has another end of its records, mlcr_record_end.
mlcr_print_record() {
    # shellcheck disable=SC2059 # an escape
    printf "%s=%s${mlcr_record_end-\\0}" "$1" "$2"
}

# mlcr_print_answer KEY COMMAND...: print one record with what COMMAND prints, which must not end with
# a newline. $(...) would start one more process.
mlcr_print_answer() {
    printf '%s=' "$1"
    shift
    "$@"
    # shellcheck disable=SC2059 # an escape
    printf "${mlcr_record_end-\\0}"
}

# mlcr_expand_home PATH: set mlcr_expanded to PATH with a leading "~/" replaced by the home directory.
mlcr_expand_home() {
    # shellcheck disable=SC2088 # a tilde as data
    case $1 in
    '~') mlcr_expanded=$HOME ;;
    '~/'*) mlcr_expanded=${HOME%/}/${1#'~/'} ;;
    *) mlcr_expanded=$1 ;;
    esac
}

# mlcr_read_user: set mlcr_uid and mlcr_user from the first word of id(1): "uid=1000(ada)".
mlcr_read_user() {
    mlcr_id_output=$(id)
    mlcr_id_output=${mlcr_id_output%% *}
    mlcr_id_output=${mlcr_id_output#uid=}
    mlcr_uid=${mlcr_id_output%%[!0-9]*}
    mlcr_user=${mlcr_id_output#*\(}
    mlcr_user=${mlcr_user%\)}
}

# mlcr_make_directory PATH: create a directory that only the user can access, unless it exists.
mlcr_make_directory() {
    case $1 in
    */*) [ -d "${1%/*}" ] || mkdir -p -- "${1%/*}" || return 1 ;;
    esac
    [ -d "$1" ] || mkdir -m 0700 -- "$1" 2>/dev/null || [ -d "$1" ] || mkdir -m 0700 -- "$1"
}

# mlcr_unlock_directories DIRECTORY: let the user read and change it and all directories in it that are
# the user's own. Each is changed before find(1) enters it.
mlcr_unlock_directories() {
    find "$1" -type d ! -perm -0700 -exec chmod u+rwx -- {} \; 2>/dev/null
}

# mlcr_read_line FILE: set mlcr_value to the first line of FILE.
mlcr_read_line() {
    mlcr_value=
    IFS= read -r mlcr_value <"$1" || :
}

# mlcr_print_line FILE: print the first line of FILE.
mlcr_print_line() {
    mlcr_read_line "$1"
    printf '%s' "$mlcr_value"
}

# mlcr_print_line_record KEY FILE: print a record with the first line of FILE.
mlcr_print_line_record() {
    mlcr_read_line "$2"
    mlcr_print_record "$1" "$mlcr_value"
}

# mlcr_write_atomically FILE TEXT: replace FILE by TEXT; a reader sees the old file or the new one.
mlcr_write_atomically() {
    printf '%s\n' "$2" >"$1.new" && mv -- "$1.new" "$1"
}

# mlcr_run_limited SECONDS COMMAND...: run COMMAND; end it after SECONDS if timeout(1) exists, with
# mlcr_limit_signal if that is set.
mlcr_run_limited() {
    mlcr_limit_s=$1
    shift
    if command -v timeout >/dev/null 2>&1; then
        timeout ${mlcr_limit_signal:+-s "$mlcr_limit_signal"} "$mlcr_limit_s" "$@"
    else
        "$@"
    fi
}
