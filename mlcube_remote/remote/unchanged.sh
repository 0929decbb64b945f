# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Start a job in one call if nothing has changed since an earlier run. Called by jobs/.

# mlcr_describe_mirror ALL MODIFIED PATH...: print a line about each PATH, in this order, to compare it
# with an earlier answer. The lines of the first ALL have all about it: a directory among them differs
# if a name in it was added or removed. Those of the next MODIFIED have no time of change, which a
# new owner changes; those of the others are about the path alone, not its content. Fail if a PATH
# does not exist, or the host has no stat(1) for this.
mlcr_describe_mirror() {
    export TZ=UTC0
    mlcr_all=$1
    mlcr_modified=$(($1 + $2))
    shift 2
    mlcr_found=$(stat -c '%f %u %d %i %s %y %z %n' -- "$@" 2>/dev/null) || return
    mlcr_number=0
    printf '%s\n' "$mlcr_found" | while read -r mlcr_path_mode mlcr_path_owner \
        mlcr_path_device mlcr_path_inode mlcr_size mlcr_day mlcr_hour mlcr_zone mlcr_rest; do
        mlcr_number=$((mlcr_number + 1))
        mlcr_line="$mlcr_path_mode $mlcr_path_owner $mlcr_path_device"
        mlcr_line="$mlcr_line $mlcr_path_inode"
        [ $mlcr_number -gt $mlcr_modified ] ||
            mlcr_line="$mlcr_line $mlcr_size $mlcr_day $mlcr_hour $mlcr_zone"
        [ $mlcr_number -gt "$mlcr_all" ] || mlcr_line="$mlcr_line $mlcr_rest"
        printf '%s\n' "$mlcr_line"
    done
}

# mlcr_sum_mirror ALL MODIFIED PATH...: print the SHA-256 of what mlcr_describe_mirror prints.
mlcr_sum_mirror() {
    mlcr_find_checksum_command || return
    mlcr_description=$(mlcr_describe_mirror "$@") || return
    printf '%s\n' "$mlcr_description" | $mlcr_checksum_command
}

# mlcr_launch_and_describe MIRROR JOB [WORD...]: launch JOB as mlcr_launch_job does, with its statuses;
# then describe the mirror. MIRROR: the arguments of mlcr_describe_mirror, quoted by the client.
mlcr_launch_and_describe() {
    mlcr_mirror=$1
    shift
    mlcr_launch_job "$@" || return
    eval "mlcr_describe_mirror $mlcr_mirror" || :
}

# mlcr_ask_host_and_image PROBE DOCKER DEPENDS IMAGE: set mlcr_answer to what mlcr_probe_host prints,
# with the character 036 for each NUL, and mlcr_image to what mlcr_print_image_platform prints. The
# engine answers while the shell probes the host, because its client takes as long as all the rest.
mlcr_ask_host_and_image() {
    mlcr_answer=$(
        {
            mlcr_image=$(eval "mlcr_print_image_platform $4" 2>/dev/null)
            printf '%s' "$mlcr_image"
        } &
        mlcr_docker=$2
        mlcr_depends_on_docker=$3
        mlcr_record_end='\036'
        mlcr_answer=$(eval "mlcr_probe_host $1")
        wait
        printf '\035%s' "$mlcr_answer"
    )
    mlcr_separator=$(printf '\035')
    mlcr_image=${mlcr_answer%%"$mlcr_separator"*}
    mlcr_answer=${mlcr_answer#*"$mlcr_separator"}
}

# mlcr_print_records ANSWER: print the records of an ANSWER in which the character 036 ends each.
mlcr_print_records() (
    IFS=$(printf '\036')
    set -f
    # shellcheck disable=SC2086 # records
    set -- $1
    [ $# -eq 0 ] || printf '%s\0' "$@"
)

# mlcr_start_unchanged FACTS PROBE DOCKER DEPENDS IMAGE ANSWER MIRROR SUM CLAIM JOB [WORD...]: probe the
# host, and if nothing differs from what the client knows, claim JOB and launch it. FACTS: how the
# answer to the probe begins, with the character 036 for each NUL. PROBE, IMAGE, MIRROR and CLAIM: the
# arguments of mlcr_probe_host, mlcr_print_image_platform, mlcr_sum_mirror and mlcr_claim_job, quoted
# by the client; DOCKER and DEPENDS: the variables of the probe; ANSWER and SUM: what the functions for
# image and mirror must print. JOB and the WORDs: the arguments of mlcr_launch_job. Print the answer to
# the probe. Status 23: something differs, which the record "changed" names, and JOB is neither
# claimed nor launched.
mlcr_start_unchanged() {
    mlcr_root=${10%/jobs/*}
    mlcr_ask_host_and_image "$2" "$3" "$4" "$5"
    mlcr_print_records "$mlcr_answer"
    case $mlcr_answer in
    "$1"*) ;;
    *)
        mlcr_print_record changed host
        return 23
        ;;
    esac
    if [ "$mlcr_image" != "$6" ]; then
        mlcr_print_record changed image
        return 23
    fi
    # Before the mirror is compared: from now on, no other job changes the workspace.
    if ! eval "mlcr_claim_job $9" >/dev/null 2>&1; then
        mlcr_print_record changed claim
        return 23
    fi
    mlcr_answer=$(eval "mlcr_sum_mirror $7")
    mlcr_changed=mirror
    if [ "${mlcr_answer%%[ 	]*}" = "$8" ]; then
        shift 9
        mlcr_changed=launch
        ! mlcr_launch_job "$@" 2>/dev/null || return 0
    else
        shift 9
    fi
    mlcr_release_job "$1"
    mlcr_print_record changed "$mlcr_changed"
    return 23
}
