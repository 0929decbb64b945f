# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Images of Singularity and Apptainer: files that are built on the host. Called by facts/ to check
# an image and by dispatch/ to build it. A build writes to another name and renames the complete
# image. Beside the image is its stamp, ".NAME.recipe": "DIGEST SIZE", the digest of what it was
# built from and its size. An image without a stamp was made by the user and is never replaced.
#
# The functions run in the cube's directory and take these parameters:
#
#   WORKSPACE  the cube's workspace, which is not part of a recipe
#   IMAGE      the absolute path of the image
#   SOURCE     a definition file, an address, an archive or another image; empty: none
#   COUNT      number of the first words of WORD... that are the engine and its verb
#   WORD...    the build command without its last two words, the image and its source
#
# The call exports mlcr_builder if the build runs elsewhere, such as on a compute node: quoted words
# for the front of the build command.

# mlcr_check_sif CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: print "f" if the image exists, "-" if it
# does not, "stale" if its recipe has changed. If the image can be used, print on the next lines its
# SHA-256 and the version of the engine. Status 127: the engine is not installed; 125: CUBE does not
# exist.
mlcr_check_sif() {
    if [ -z "${mlcr_builder-}" ] && ! command -v "$6" >/dev/null 2>&1; then
        echo "$6: not found" >&2
        return 127
    fi
    cd -- "$1" || return 125
    shift
    mlcr_state=$(mlcr_print_sif_state "$@")
    printf '%s\n' "$mlcr_state"
    [ "$mlcr_state" = f ] || return 0
    mlcr_line=
    mlcr_print_sif_digest "$2"
    [ -n "$mlcr_line" ] || echo -
    mlcr_print_engine_version "$5"
}

# mlcr_print_sif_state WORKSPACE IMAGE SOURCE COUNT WORD...: print f, - or stale.
mlcr_print_sif_state() {
    mlcr_stamp=${2%/*}/.${2##*/}.recipe
    if ! [ -f "$2" ]; then
        echo -
    elif [ -z "$3" ] || ! [ -f "$mlcr_stamp" ]; then
        echo f
    elif [ "$(mlcr_print_line "$mlcr_stamp")" = \
        "$(mlcr_print_recipe_digest "$@") $(mlcr_print_size "$2")" ]; then
        echo f
    else
        echo stale
    fi
}

# mlcr_print_size FILE: print its size in bytes.
mlcr_print_size() {
    stat -c %s -- "$1" 2>/dev/null || wc -c <"$1"
}

# mlcr_print_recipe_digest WORKSPACE IMAGE SOURCE COUNT WORD...: print a digest of everything that
# the image depends on.
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

# mlcr_print_file_stamp FILE: print the size and time of an archive or image, if it exists. Both
# change with the file, and reading all of it would take too long.
mlcr_print_file_stamp() {
    mlcr_file=${1#//}
    [ -f "$mlcr_file" ] || return 0
    stat -c '%s %Y' -- "$mlcr_file" 2>/dev/null || ls -lnd -- "$mlcr_file"
}

# mlcr_print_definition FILE: print a definition file, and the checksums of the files that it
# includes.
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
        # Files from another stage do not come from this machine.
        *:%files) mlcr_section=files$mlcr_rest ;;
        *:%*) mlcr_section=other ;;
        *:[Bb]ootstrap:*) mlcr_section=header ;;
        header:[Ff]rom:*) mlcr_print_file_stamp "${mlcr_first#?????}$mlcr_rest" ;;
        files:*) mlcr_print_matching_checksums "$mlcr_first" ;;
        esac
    done <"$1"
}

# mlcr_print_matching_checksums PATTERN: print the checksums of all files below the paths that
# match. Omit the workspace, which every run changes, and the image itself.
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

# mlcr_build_sif ROOT CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: build the image, unless it exists
# and its recipe is unchanged. If several clients ask at once, one builds and the others wait.
mlcr_build_sif() {
    mlcr_locks=$1/locks
    cd -- "$2" || return 125
    shift 2
    [ -z "${mlcr_is_checked-}" ] || mlcr_check_place "$2" "$1" || return 1
    (umask 022 && mkdir -p -- "${2%/*}") || return 1
    # Machines that share the file system do not wait for each other: each builds to its own name.
    mlcr_read_node
    mlcr_lock_directory=$mlcr_locks/sif-$(printf '%s' "$2" | cksum | tr -d ' \t')-$mlcr_node
    mlcr_read_start_time $$
    mlcr_build_id=$$.$mlcr_ticks
    mlcr_acquire_sif_lock "$mlcr_lock_directory" "$mlcr_build_id" "$2" || return 1
    if [ -n "${mlcr_shipped-}" ] && [ -e "$2" ] && ! [ -f "${2%/*}/.${2##*/}.recipe" ]; then
        echo "$2 is another image, which mlcube-remote has not made: it is not replaced" >&2
        mlcr_status=1
    elif [ -z "${mlcr_shipped-}" ] && [ "$(mlcr_print_sif_state "$@")" = f ]; then
        echo "the image exists: $2" >&2
        mlcr_status=0
    else
        mlcr_replace_sif "$@"
        mlcr_status=$?
    fi
    rm -rf -- "$mlcr_lock_directory/by/$mlcr_build_id"
    return "$mlcr_status"
}

# mlcr_build_checked_sif DIGEST COPIED ROOT CUBE WORKSPACE IMAGE SOURCE COUNT WORD...: do the same
# for a cube that is not trusted. The client has checked a definition file with this SHA-256, which
# copies the paths and patterns COPIED, one per line; build from nothing else. The file and what it
# copies may be in a directory in which a task has written since. Empty DIGEST: SOURCE is no
# definition file.
mlcr_build_checked_sif() {
    mlcr_expected_digest=$1
    mlcr_copied=$2
    shift 2
    mlcr_is_checked=yes
    mlcr_build_sif "$@"
}

# mlcr_acquire_sif_lock LOCK ID IMAGE: acquire the lock for this process, however long that takes.
mlcr_acquire_sif_lock() {
    # mlcr_acquire_lock expects a job; a directory with a file "preparing" looks like one.
    mlcr_identify_process $$
    mkdir -p -- "$1/by/$2" &&
        mlcr_write_atomically "$1/by/$2/preparing" "$mlcr_process_identity" || return 1
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

# mlcr_replace_sif WORKSPACE IMAGE SOURCE COUNT WORD...: build the image and replace the old one;
# the caller holds the lock.
mlcr_replace_sif() (
    mlcr_digest=$(mlcr_print_recipe_digest "$@")
    mlcr_image_file=$2
    mlcr_source=$3
    shift 4
    mlcr_stamp=${mlcr_image_file%/*}/.${mlcr_image_file##*/}.recipe
    mlcr_read_node
    mlcr_build_directory=${mlcr_image_file%/*}/.${mlcr_image_file##*/}.building.$mlcr_node
    # Remove the directory of a build that was killed.
    rm -rf -- "$mlcr_build_directory"
    umask 022
    mkdir -- "$mlcr_build_directory" || return 1
    mlcr_build_tmp=
    trap 'rm -rf -- "$mlcr_build_directory" ${mlcr_build_tmp:+"$mlcr_build_tmp"}' EXIT
    trap 'exit 143' HUP TERM
    if [ -n "${mlcr_shipped-}" ]; then
        mlcr_make_shipped_sif "$mlcr_build_directory/${mlcr_image_file##*/}" "$@" || return
    elif [ -n "${mlcr_is_checked-}" ]; then
        mlcr_check_copied "$mlcr_copied" || return 1
        mlcr_build_tmp=${mlcr_image_file%/*}/.${mlcr_image_file##*/}.tmp.$mlcr_node
        # A build that was killed may leave files there of users that exist only in its container.
        rm -rf -- "$mlcr_build_tmp" || mlcr_build_tmp=$mlcr_build_tmp.$mlcr_build_id
        mlcr_use_private_tmp "$mlcr_build_tmp" "$@" || return 1
        if [ -n "$mlcr_expected_digest" ]; then
            # A task cannot write there.
            mlcr_definition=$mlcr_build_directory/.definition
            mlcr_copy_checked_file "$mlcr_source" "$mlcr_definition" "$mlcr_expected_digest" ||
                return 1
            mlcr_source=$mlcr_definition
        fi
    fi
    if [ -z "${mlcr_shipped-}" ]; then
        mlcr_run_builder "$@" "$mlcr_build_directory/${mlcr_image_file##*/}" "$mlcr_source" || return
    fi
    if ! [ -f "$mlcr_build_directory/${mlcr_image_file##*/}" ] || [ -d "$mlcr_image_file" ]; then
        echo "expected the build to make a file, and $mlcr_image_file to be a file or absent" >&2
        return 1
    fi
    # After a power failure the name must not exist without its content.
    sync -- "$mlcr_build_directory/${mlcr_image_file##*/}" 2>/dev/null || sync
    mlcr_new=$mlcr_build_directory/${mlcr_image_file##*/}
    mlcr_size=$(mlcr_print_size "$mlcr_new")
    # Between the two renames the old stamp must not describe the new image.
    mlcr_replace_file "$mlcr_build_directory" "${mlcr_stamp##*/}" pending &&
        (cd -- "$mlcr_build_directory/.." && mv -f -- "$mlcr_new" .) &&
        mlcr_replace_file "$mlcr_build_directory" "${mlcr_stamp##*/}" "$mlcr_digest $mlcr_size"
)

# mlcr_run_builder WORD...: run the build command, in the place that mlcr_builder says.
mlcr_run_builder() {
    eval "set -- ${mlcr_builder-} \"\$@\""
    "$@"
}

# mlcr_replace_file BUILD NAME TEXT: replace the file NAME beside the directory BUILD by TEXT. A task
# may have planted links there, but not in BUILD, which is new; and a rename into "." follows no link.
mlcr_replace_file() (
    cd -- "$1/.." && printf '%s\n' "$3" >"$1/$2" && mv -f -- "$1/$2" .
)
