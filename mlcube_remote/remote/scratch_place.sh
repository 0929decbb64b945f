# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Where a compute node has a disk for copies: a path that may have variables of the node in it.

# mlcr_find_scratch TEXT: set mlcr_expanded to the path that TEXT means on this machine, and create this
# directory if it does not exist. Print the reason if that fails.
mlcr_find_scratch() {
    mlcr_expand_variables "$1" || return 1
    case $mlcr_expanded in
    /*) ;;
    *)
        echo "scratch: expected an absolute path, got $mlcr_expanded"
        return 1
        ;;
    esac
    mkdir -p -- "$mlcr_expanded"
}

# mlcr_expand_variables TEXT: set mlcr_expanded to TEXT with the values of all $NAME and ${NAME} in it.
# Print which one has none, and fail.
mlcr_expand_variables() {
    mlcr_expanded=
    mlcr_left=$1
    while :; do
        case $mlcr_left in
        *\$*) ;;
        *) break ;;
        esac
        mlcr_expanded=$mlcr_expanded${mlcr_left%%\$*}
        mlcr_left=${mlcr_left#*\$}
        case $mlcr_left in
        \{*\}*)
            mlcr_name=${mlcr_left#\{}
            mlcr_left=${mlcr_name#*\}}
            mlcr_name=${mlcr_name%%\}*}
            ;;
        *)
            mlcr_name=${mlcr_left%%[!A-Za-z0-9_]*}
            mlcr_left=${mlcr_left#"$mlcr_name"}
            ;;
        esac
        case $mlcr_name in
        '' | [0-9]* | *[!A-Za-z0-9_]*)
            echo "scratch: expected the name of a variable after \$ in $1"
            return 1
            ;;
        esac
        eval "mlcr_value=\${$mlcr_name-}"
        if [ -z "$mlcr_value" ]; then
            echo "scratch: \$$mlcr_name is not set on $(uname -n)"
            return 1
        fi
        mlcr_expanded=$mlcr_expanded$mlcr_value
    done
    mlcr_expanded=$mlcr_expanded$mlcr_left
}

# mlcr_try_scratch TEXT: try to write in the directory that TEXT means on this machine. Print "yes PATH",
# or the reason why tasks cannot have copies there.
mlcr_try_scratch() {
    command -v rsync >/dev/null 2>&1 || {
        echo "scratch: rsync, which copies the files, was not found on $(uname -n)"
        return 0
    }
    mlcr_find_scratch "$1" && mlcr_made=$(mktemp -d "${mlcr_expanded%/}/mlcube-remote-check.XXXXXX") &&
        rmdir -- "$mlcr_made" && echo "yes $mlcr_expanded"
}
