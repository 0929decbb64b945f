# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Paths on the host: inspect them, prepare them for tasks, write small files, compute checksums.
# Called by files/, facts/ and the pipeline in dispatch/.

# mlcr_find_kind PATH: set mlcr_kind to f, d or - (does not exist).
mlcr_find_kind() {
    if [ -d "$1" ]; then
        mlcr_kind=d
    elif [ -e "$1" ]; then
        mlcr_kind=f
    else
        mlcr_kind=-
    fi
}

# mlcr_print_kind PATH...: print that, in a line for each.
mlcr_print_kind() {
    for mlcr_path in "$@"; do
        mlcr_find_kind "$mlcr_path"
        echo "$mlcr_kind"
    done
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

# mlcr_prepare_paths COPIES [NEED SOURCE-AREA SOURCE TARGET-AREA TARGET]... [AREA DIRECTORY]...: make
# COPIES copies, each unless its target exists; then create the directories. Each AREA is two words,
# ANCHOR and REST. The tree above is private, but what this creates has the modes of the user's other files.
# Status 20: a link leads out of an area.
mlcr_prepare_paths() {
    umask 022
    mlcr_copies=$1
    shift
    while [ "$mlcr_copies" -gt 0 ]; do
        mlcr_copy_atomically "$@" || return
        shift 7
        mlcr_copies=$((mlcr_copies - 1))
    done
    while [ $# -ge 3 ]; do
        mlcr_find_area "$1" "$2" || return 1
        mlcr_confine "$mlcr_area" "$3" || return
        shift 3
    done
}

# mlcr_copy_atomically NEED SOURCE-AREA SOURCE TARGET-AREA TARGET: copy SOURCE, unless TARGET exists,
# which appears when the copy is complete. A retry after a broken connection must not use half a copy.
# If NEED is "optional", SOURCE need not exist; else it is "required".
mlcr_copy_atomically() {
    mlcr_need=$1
    shift
    if [ -e "$6" ] || [ -L "$6" ]; then return 0; fi
    if [ "$mlcr_need" = optional ] && ! [ -e "$3" ] && ! [ -L "$3" ]; then return 0; fi
    mlcr_find_area "$1" "$2" || return 1
    mlcr_confine "$mlcr_area" "${3%/*}" existing || return
    mlcr_source=${mlcr_real_path%/}/${3##*/}
    mlcr_find_area "$4" "$5" || return 1
    mlcr_confine "$mlcr_area" "${6%/*}" || return
    (
        cd -P -- "$mlcr_real_path" || exit 1
        mlcr_new=$(mktemp -d ./.mlcube-remote-copy.XXXXXXXX) || exit 1
        # mv into "." is a rename: it follows no link with the name of the target.
        cp -RPp -- "$mlcr_source" "$mlcr_new/${6##*/}" && mv -- "$mlcr_new/${6##*/}" .
        mlcr_status=$?
        rm -rf -- "$mlcr_new"
        exit $mlcr_status
    ) || [ -e "$6" ]
}

# mlcr_write_file FILE MODE TEXT: write TEXT to FILE, which is in a directory that no container can
# write; MODE is "replace" or "append". The file gets the permissions of the user's other files.
mlcr_write_file() {
    umask 022
    if [ "$2" = append ]; then
        printf '%s' "$3" >>"$1"
    else
        mkdir -p -- "${1%/*}" && printf '%s' "$3" >"$1"
    fi
}

# mlcr_write_input AREA FILE MODE TEXT: like mlcr_write_file, for a file that tasks can replace. AREA
# is two words, ANCHOR and REST. Status 20: a link leads out of the area.
mlcr_write_input() {
    umask 022
    mlcr_find_area "$1" "$2" || return 1
    mlcr_confine "$mlcr_area" "${3%/*}" || return
    cd -P -- "$mlcr_real_path" || return 1
    if [ "$4" = append ]; then
        [ -f "./${3##*/}" ] && [ ! -L "./${3##*/}" ] && printf '%s' "$5" >>"./${3##*/}"
    else
        rm -rf -- "./${3##*/}" || return 1
        set -C # create a new file, and follow no link
        printf '%s' "$5" >"./${3##*/}"
    fi
}

# mlcr_find_checksum_command: set mlcr_checksum_command to a command that prints the SHA-256 of
# files, or of its input; fail if the host has none.
mlcr_find_checksum_command() {
    for mlcr_checksum_command in sha256sum 'shasum -a 256' 'openssl dgst -sha256 -r'; do
        ! command -v "${mlcr_checksum_command%% *}" >/dev/null 2>&1 || return 0
    done
    return 1
}

# mlcr_compute_checksum FILE: set mlcr_checksum to the 64 digits of the SHA-256 of a file; print why if
# that fails.
mlcr_compute_checksum() {
    mlcr_find_checksum_command || {
        echo 'sha256sum: not found' >&2
        return 1
    }
    mlcr_checksum=$($mlcr_checksum_command <"$1") || return 1
    mlcr_checksum=${mlcr_checksum%% *}
}

# mlcr_print_checksums DIRECTORY NAME...: print a record for each file below DIRECTORY: the 64
# digits of its SHA-256, or nothing if it cannot be read. Each NAME starts with "./". Status 127 if
# the host has no program for that.
mlcr_print_checksums() {
    cd -- "$1" || return 1
    shift
    mlcr_find_checksum_command || return 127
    case "$*" in
    *'
'*) ;;
    *)
        # One process for all files prints a line for each, in their order, or fails. The sha256sum of
        # many systems does not use the processor's instructions for it, and OpenSSL does.
        # shellcheck disable=SC2086 # words
        if mlcr_checksums=$(openssl dgst -sha256 -r "$@" 2>/dev/null) ||
            mlcr_checksums=$($mlcr_checksum_command "$@" 2>/dev/null); then
            printf '%s\n' "$mlcr_checksums" | LC_ALL=C sed 's/^\\//; s/ .*//' | tr '\n' '\000'
            return
        fi
        ;;
    esac
    # Each file is read from standard input, so the answer does not contain its name.
    for mlcr_name in "$@"; do
        mlcr_checksum=$($mlcr_checksum_command <"$mlcr_name" 2>/dev/null)
        mlcr_checksum=${mlcr_checksum#\\}
        printf '%s\0' "${mlcr_checksum%% *}"
    done
}
