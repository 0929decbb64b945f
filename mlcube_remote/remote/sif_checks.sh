# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What a host checks before it builds a SIF image for a cube that is not trusted: an earlier task may
# have changed the recipe, or planted links. Used by sif_images.sh.

# mlcr_copy_checked_file SOURCE TARGET DIGEST: copy a file; fail if its SHA-256 is another one.
mlcr_copy_checked_file() {
    mlcr_find_checksum_command || {
        echo "no program for SHA-256, such as sha256sum, was found to check $1" >&2
        return 1
    }
    cp -- "$1" "$2" && mlcr_checksum=$($mlcr_checksum_command <"$2") || return 1
    [ "${mlcr_checksum%% *}" = "$3" ] || {
        echo "$1 differs from the file that was checked on the client" >&2
        return 1
    }
}

# mlcr_check_place IMAGE WORKSPACE: fail if IMAGE is in the current directory or in WORKSPACE by
# name, but a link leads out of both. The user may have named another place.
mlcr_check_place() {
    case $1 in
    "$PWD"/* | "$2"/*) ;;
    *) return 0 ;;
    esac
    mlcr_place=${1%/*}
    while ! [ -e "$mlcr_place" ] && ! [ -h "$mlcr_place" ]; do
        mlcr_place=${mlcr_place%/*}
    done
    mlcr_is_inside "$PWD" "$mlcr_place" || mlcr_is_inside "$2" "$mlcr_place" || {
        echo "$mlcr_place leads out of the cube, so no image is written there" >&2
        return 1
    }
}

# mlcr_is_inside TOP FILE: whether FILE is TOP or below it, when all links are followed.
mlcr_is_inside() {
    mlcr_real_top=$(readlink -f -- "$1") && mlcr_real_file=$(readlink -f -- "$2") || return 1
    case $mlcr_real_file/ in
    "${mlcr_real_top%/}"/*) ;;
    *) return 1 ;;
    esac
}

# mlcr_check_copied PATTERNS: fail if a path that matches, or a link below it, leads out of the
# current directory.
mlcr_check_copied() {
    printf '%s\n' "$1" | {
        mlcr_top=$(pwd -P)
        while IFS= read -r mlcr_pattern; do
            [ -n "$mlcr_pattern" ] || continue
            # Only expand patterns: without separators, the words are not split.
            IFS=
            # shellcheck disable=SC2086
            for mlcr_file in ./$mlcr_pattern; do
                mlcr_outside=$(mlcr_print_outside "$mlcr_top" "$mlcr_file")
                if [ -n "$mlcr_outside" ]; then
                    echo "$mlcr_outside leads out of the cube, so it is not copied" >&2
                    return 1
                fi
            done
            unset IFS
        done
    }
}

# mlcr_print_outside TOP FILE: print FILE, or a link at or below it, that leads out of TOP. Follow
# links, as the copy does.
mlcr_print_outside() {
    if ! mlcr_is_inside "$1" "$2"; then
        printf '%s' "$2"
        return
    fi
    [ -e "$2" ] || return 0
    # shellcheck disable=SC2016 # expanded by the inner shell
    find -L "$2" -exec sh -c '
        for file do
            [ -h "$file" ] || continue
            case $(readlink -f -- "$file")/ in
            "${0%/}"/*) ;;
            *) printf "%s" "$file"; exit ;;
            esac
        done' "$1" {} + 2>/dev/null
}

# mlcr_use_private_tmp DIRECTORY ENGINE...: let the scripts of a recipe see an empty DIRECTORY as
# /tmp and /var/tmp, and not those of the host. A variable says so, because each version passes it on
# to the programs that it starts for a build. If its syntax cannot express DIRECTORY, the scripts see
# those of the host.
mlcr_use_private_tmp() {
    case $1 in
    *[:,]*) return 0 ;;
    esac
    # Package managers write there as other users, too.
    mkdir -m 1777 -- "$1" || return 1
    mlcr_bind=$1:/tmp,$1:/var/tmp
    case " $* " in
    *[/\ ]singularity\ *) export SINGULARITY_BIND="${SINGULARITY_BIND:+$SINGULARITY_BIND,}$mlcr_bind" ;;
    *) export APPTAINER_BIND="${APPTAINER_BIND:+$APPTAINER_BIND,}$mlcr_bind" ;;
    esac
}
