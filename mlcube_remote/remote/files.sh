# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Paths on the host: inspect them, prepare them for tasks, write small files, compute checksums.
# Called by files/, facts/ and the pipeline in dispatch/.

# mlcr_print_kind PATH: print f, d or - (does not exist).
mlcr_print_kind() {
    if [ -d "$1" ]; then
        echo d
    elif [ -e "$1" ]; then
        echo f
    else
        echo -
    fi
}

# mlcr_print_free_space PATH: print how many KiB are free on the file system of PATH.
mlcr_print_free_space() {
    df -Pk -- "$1" | {
        read -r _
        read -r _ _ _ mlcr_free _
        echo "$mlcr_free"
    }
}

# mlcr_remove_partial_files PATH NAME: delete all directories called NAME at PATH, in which an
# interrupted upload left partial files; then print how many KiB are free there.
mlcr_remove_partial_files() {
    mlcr_existing=$1
    [ -d "$mlcr_existing" ] || mlcr_existing=${mlcr_existing%/*}
    find "$mlcr_existing" -type d -name "$2" -prune -exec rm -rf -- {} +
    mlcr_print_free_space "$mlcr_existing"
}

# mlcr_prepare_paths COPIES [SOURCE TARGET]... DIRECTORY...: copy COPIES sources, each unless its
# target exists; then create the directories. The tree above is private, but what this creates has
# the modes of the user's other files.
mlcr_prepare_paths() {
    umask 022
    mlcr_copies=$1
    shift
    while [ "$mlcr_copies" -gt 0 ]; do
        [ -e "$2" ] || mlcr_copy_atomically "$1" "$2" || return 1
        shift 2
        mlcr_copies=$((mlcr_copies - 1))
    done
    # Usually all of them exist, and no process is started.
    for mlcr_directory in "$@"; do
        [ -d "$mlcr_directory" ] || {
            mkdir -p -- "$@"
            return
        }
    done
}

# mlcr_copy_atomically SOURCE TARGET: copy SOURCE; TARGET appears when the copy is complete. A retry
# after a broken connection must not use half a copy.
mlcr_copy_atomically() {
    mlcr_folder=$(dirname -- "$2")
    mlcr_new=$mlcr_folder/.mlcube-remote-copy.$$
    mkdir -p -- "$mlcr_folder" && rm -rf -- "$mlcr_new" && cp -Rp -- "$1" "$mlcr_new" &&
        [ ! -e "$2" ] && mv -- "$mlcr_new" "$2" && return
    rm -rf -- "$mlcr_new"
    [ -e "$2" ]
}

# mlcr_write_file FILE MODE TEXT: write TEXT to FILE; MODE is "replace" or "append". The file gets
# the permissions of the user's other files.
mlcr_write_file() {
    umask 022
    if [ "$2" = append ]; then
        printf '%s' "$3" >>"$1"
    else
        mkdir -p -- "${1%/*}" && printf '%s' "$3" >"$1"
    fi
}

# mlcr_find_checksum_command: set mlcr_checksum_command to a command that prints the SHA-256 of its
# input; fail if the host has none.
mlcr_find_checksum_command() {
    for mlcr_checksum_command in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r'; do
        ! command -v "${mlcr_checksum_command%% *}" >/dev/null 2>&1 || return 0
    done
    return 1
}

# mlcr_print_checksums DIRECTORY NAME...: print a record for each file below DIRECTORY: the 64
# digits of its SHA-256, or nothing if it cannot be read. Status 127 if the host has no program for
# that.
mlcr_print_checksums() {
    cd -- "$1" || return 1
    shift
    mlcr_find_checksum_command || return 127
    # No name is parsed: each file is read from standard input, and the answers keep the order.
    for mlcr_name in "$@"; do
        mlcr_checksum=$($mlcr_checksum_command <"./$mlcr_name" 2>/dev/null)
        mlcr_checksum=${mlcr_checksum#\\}
        printf '%s\0' "${mlcr_checksum%% *}"
    done
}
