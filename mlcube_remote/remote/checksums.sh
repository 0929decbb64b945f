# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# What files hold, so that the other side can tell whether it has the same.

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
