# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Images of Singularity and Apptainer: files that are built where they run. An image is built under
# another name and appears under its own whole, or not at all. Beside it stands its stamp,
# ".NAME.recipe": "DIGEST SIZE", of what it was built from and of the image itself. An image
# without a stamp is somebody's own, and stays as it is.
#
# The functions here work in the cube's directory and take
#
#   WORKSPACE  the cube's workspace, which is no part of a recipe
#   IMAGE      the image, absolute
#   SOURCE     a definition file, an address, an archive or another image; empty: none
#   COUNT      how many of WORD... are the engine and its verb
#   WORD...    the command that builds, without its last two words, the image and its source

# mlcr_check_sif CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: print "f" where the image is there, "-" where
# it is not, "stale" where its recipe is another by now; status 127 when there is no engine.
mlcr_check_sif() {
    if ! command -v "$6" >/dev/null 2>&1; then
        echo "$6: not found" >&2
        return 127
    fi
    cd -- "$1" || return 125
    shift
    mlcr_print_sif_state "$@"
}

mlcr_print_sif_state() {
    if ! [ -f "$2" ]; then
        echo -
    elif [ -z "$3" ] || ! [ -e "${2%/*}/.${2##*/}.recipe" ]; then
        echo f
    elif [ "$(mlcr_print_line "${2%/*}/.${2##*/}.recipe")" = "$(mlcr_print_recipe_digest "$@") $(mlcr_print_size "$2")" ]; then
        echo f
    else
        echo stale
    fi
}

# mlcr_print_size FILE: print how many bytes it has.
mlcr_print_size() {
    stat -c %s -- "$1" 2>/dev/null || wc -c <"$1"
}

# mlcr_print_recipe_digest WORKSPACE IMAGE SOURCE COUNT WORD...: print a digest of all that the image depends on.
mlcr_print_recipe_digest() {
    mlcr_workspace=${1#"$PWD"/}
    mlcr_name=${2##*/}
    mlcr_source=$3
    shift "$((4 + $4))"
    mlcr_find_checksum_command || mlcr_checksum_command='cksum'
    {
        printf '%s\0' "$mlcr_source" "$@"
        case $mlcr_source in
        *:*) mlcr_print_file_stamp "${mlcr_source#*:}" ;;
        *) mlcr_print_definition "$mlcr_source" ;;
        esac
    } | $mlcr_checksum_command | {
        read -r mlcr_checksum _
        printf '%s' "$mlcr_checksum"
    }
}

# mlcr_print_file_stamp FILE: print what tells an archive or an image, if there is one of that name, from
# what stands there after a change, without reading all of it.
mlcr_print_file_stamp() {
    mlcr_file=${1#//}
    [ -f "$mlcr_file" ] || return 0
    stat -c '%s %Y' -- "$mlcr_file" 2>/dev/null || ls -lnd -- "$mlcr_file"
}

# mlcr_print_definition FILE: print a definition file, and sums of the files that it takes in.
mlcr_print_definition() {
    [ -f "$1" ] || return 0
    if [ "$(mlcr_print_size "$1")" -gt 1048576 ]; then
        mlcr_print_file_stamp "$1"
        return
    fi
    cat -- "$1"
    mlcr_section=header
    while read -r mlcr_first mlcr_rest || [ -n "$mlcr_first" ]; do
        case $mlcr_section:$mlcr_first in
        *:'#'* | *:) ;;
        # Of another stage nothing comes from this machine.
        *:%files) mlcr_section=files$mlcr_rest ;;
        *:%*) mlcr_section=other ;;
        *:[Bb]ootstrap:*) mlcr_section=header ;;
        header:[Ff]rom:*) mlcr_print_file_stamp "${mlcr_first#?????}$mlcr_rest" ;;
        files:*) mlcr_print_matching_checksums "$mlcr_first" ;;
        esac
    done <"$1"
}

# mlcr_print_matching_checksums PATTERN: print the sums of all files below what matches. A workspace that happens
# to lie there is left out, for it changes with every run, and so is the image itself.
mlcr_print_matching_checksums() {
    # shellcheck disable=SC2086 # PATTERN may match several
    for mlcr_file in $1; do
        case $mlcr_file in
        /*) ;;
        *) mlcr_file=./$mlcr_file ;;
        esac
        # shellcheck disable=SC2086 # words
        find "$mlcr_file" -path "*/$mlcr_workspace" -prune -o -type f ! -name "$mlcr_name" \
            ! -name ".$mlcr_name.*" -exec $mlcr_checksum_command {} + 2>/dev/null | sort
    done
}

# mlcr_build_sif ROOT CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: build the image, unless it is there
# and its recipe is what it was. Of several who want it at once, one builds it.
mlcr_build_sif() {
    mlcr_locks=$1/locks
    cd -- "$2" || return 125
    shift 2
    mkdir -p -- "${2%/*}" || return 1
    # A machine that shares the file system is not waited for: each builds under a name of its own.
    mlcr_read_node
    mlcr_lock_directory=$mlcr_locks/sif-$(printf '%s' "$2" | cksum | tr -d ' \t')-$mlcr_node
    mlcr_read_start_time $$
    mlcr_build_id=$$.$mlcr_ticks
    mlcr_acquire_sif_lock "$mlcr_lock_directory" "$mlcr_build_id" "$2" || return 1
    if [ "$(mlcr_print_sif_state "$@")" = f ]; then
        echo "the image is there: $2" >&2
        mlcr_status=0
    else
        mlcr_replace_sif "$@"
        mlcr_status=$?
    fi
    rm -rf -- "$mlcr_lock_directory/by/$mlcr_build_id"
    return "$mlcr_status"
}

# mlcr_acquire_sif_lock LOCK ID IMAGE: take the lock for this process, however long that takes.
mlcr_acquire_sif_lock() {
    # Who holds a lock of mlcr_acquire_lock is a job; a process that says its name is as good as one.
    mlcr_identify_process $$
    mkdir -p -- "$1/by/$2" && mlcr_write_atomically "$1/by/$2/preparing" "$mlcr_process_identity" || return 1
    mlcr_reported_wait=
    while :; do
        mlcr_acquire_lock "$1" "$1/by" "$2"
        mlcr_status=$?
        [ "$mlcr_status" -eq 16 ] || break
        [ -n "$mlcr_reported_wait" ] || echo "waiting for another client, which is building $3" >&2
        mlcr_reported_wait=yes
        sleep 1
    done
    if [ "$mlcr_status" -ne 0 ]; then
        rm -rf -- "$1/by/$2"
        return 1
    fi
    for mlcr_other in "$1"/by/*; do
        [ "$mlcr_other" = "$1/by/$2" ] || mlcr_is_live "$mlcr_other" || rm -rf -- "$mlcr_other"
    done
}

# mlcr_replace_sif WORKSPACE IMAGE SOURCE COUNT WORD...: build the image; the lock is held.
mlcr_replace_sif() (
    mlcr_digest=$(mlcr_print_recipe_digest "$@")
    mlcr_image_file=$2
    mlcr_source=$3
    shift 4
    mlcr_stamp=${mlcr_image_file%/*}/.${mlcr_image_file##*/}.recipe
    mlcr_read_node
    mlcr_build_directory=${mlcr_image_file%/*}/.${mlcr_image_file##*/}.building.$mlcr_node
    # What a build left that was killed.
    rm -rf -- "$mlcr_build_directory"
    umask 022
    mkdir -- "$mlcr_build_directory" || return 1
    trap 'rm -rf -- "$mlcr_build_directory"' EXIT
    trap 'exit 143' HUP TERM
    "$@" "$mlcr_build_directory/${mlcr_image_file##*/}" "$mlcr_source" || return
    if ! [ -f "$mlcr_build_directory/${mlcr_image_file##*/}" ] || [ -d "$mlcr_image_file" ]; then
        echo "expected the build to make a file, and $mlcr_image_file to be none or a file" >&2
        return 1
    fi
    # A name must not outlive a power cut that its content did not.
    sync -- "$mlcr_build_directory/${mlcr_image_file##*/}" 2>/dev/null || sync
    # Between the two renames the image is not to be taken for what the old stamp says.
    mlcr_write_atomically "$mlcr_stamp" pending &&
        mv -f -- "$mlcr_build_directory/${mlcr_image_file##*/}" "$mlcr_image_file" &&
        mlcr_write_atomically "$mlcr_stamp" "$mlcr_digest $(mlcr_print_size "$mlcr_image_file")"
)
