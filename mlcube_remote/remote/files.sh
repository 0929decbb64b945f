# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Paths on the host: ask about them, prepare them for tasks, write small files, compute checksums.
# Called by files/ and by the pipeline in dispatch/.

# mlcr_print_kind PATH: print f, d or - (nothing there).
mlcr_print_kind() {
    if [ -d "$1" ]; then
        echo d
    elif [ -e "$1" ]; then
        echo f
    else
        echo -
    fi
}

# mlcr_print_free_space PATH: print how many KiB are free where PATH is.
mlcr_print_free_space() {
    df -Pk -- "$1" | {
        read -r _
        read -r _ _ _ mlcr_free _
        echo "$mlcr_free"
    }
}

# mlcr_remove_partial_files PATH NAME: delete what a transfer to PATH that was not completed left in directories
# called NAME, and print how many KiB are free there then.
mlcr_remove_partial_files() {
    mlcr_existing=$1
    [ -d "$mlcr_existing" ] || mlcr_existing=${mlcr_existing%/*}
    find "$mlcr_existing" -type d -name "$2" -prune -exec rm -rf -- {} +
    mlcr_print_free_space "$mlcr_existing"
}

# mlcr_prepare_paths COPIES [SOURCE TARGET]... DIRECTORY...: copy each of COPIES sources to its target
# unless that exists, then make the directories that tasks expect; all of it readable as the user's
# own files are (the tree above is private).
mlcr_prepare_paths() {
    umask 022
    mlcr_copies=$1
    shift
    while [ "$mlcr_copies" -gt 0 ]; do
        [ -e "$2" ] || mlcr_copy_atomically "$1" "$2" || return 1
        shift 2
        mlcr_copies=$((mlcr_copies - 1))
    done
    # Most of the time they are there, and a process less is started.
    for mlcr_directory in "$@"; do
        [ -d "$mlcr_directory" ] || {
            mkdir -p -- "$@"
            return
        }
    done
}

# mlcr_copy_atomically SOURCE TARGET: copy SOURCE, which becomes TARGET when all of it is there: who asks again,
# after a connection that broke, must not take half a copy for a whole one.
mlcr_copy_atomically() {
    mlcr_folder=$(dirname -- "$2")
    mlcr_new=$mlcr_folder/.mlcube-remote-copy.$$
    mkdir -p -- "$mlcr_folder" && rm -rf -- "$mlcr_new" && cp -Rp -- "$1" "$mlcr_new" &&
        [ ! -e "$2" ] && mv -- "$mlcr_new" "$2" && return
    rm -rf -- "$mlcr_new"
    [ -e "$2" ]
}

# mlcr_write_file FILE HOW TEXT: write TEXT into FILE, made "anew" or added to ("append"), readable as the
# user's own files are.
mlcr_write_file() {
    umask 022
    if [ "$2" = append ]; then
        printf '%s' "$3" >>"$1"
    else
        mkdir -p -- "${1%/*}" && printf '%s' "$3" >"$1"
    fi
}

# mlcr_find_checksum_command: set mlcr_find_checksum_command to a command that prints the SHA-256 of its input; fail where there
# is none.
mlcr_find_checksum_command() {
    for mlcr_checksum_command in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r'; do
        ! command -v "${mlcr_checksum_command%% *}" >/dev/null 2>&1 || return 0
    done
    return 1
}

# mlcr_print_checksums DIRECTORY NAME...: print the SHA-256 of each file below DIRECTORY as a record of 64
# digits, or of nothing where the file cannot be read; status 127 where nothing here can tell.
mlcr_print_checksums() {
    cd -- "$1" || return 1
    shift
    mlcr_find_checksum_command || return 127
    # Names are never read back: each file is standard input, and the answers are in their order.
    for mlcr_name in "$@"; do
        mlcr_checksum=$($mlcr_checksum_command <"./$mlcr_name" 2>/dev/null)
        mlcr_checksum=${mlcr_checksum#\\}
        printf '%s\0' "${mlcr_checksum%% *}"
    done
}
