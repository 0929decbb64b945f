# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What a record of a run says about the host's hardware, kernel and engine. Called by probe.sh,
# engine.sh and sif_images.sh, in calls that every run makes: so files are read where possible,
# because each process makes every run slower.

# mlcr_report_machine: report the kernel, the operating system, the processor, the memory and the
# GPUs, as far as this system has files about them.
mlcr_report_machine() {
    mlcr_report_first_line kernel /proc/sys/kernel/osrelease
    mlcr_report_first_line hostname /proc/sys/kernel/hostname
    mlcr_report_first_line cpus /sys/devices/system/cpu/online
    mlcr_report_field os = PRETTY_NAME /etc/os-release
    mlcr_report_field cpu : 'model name' /proc/cpuinfo
    mlcr_report_field memory : MemTotal /proc/meminfo
    mlcr_report_first_line driver /proc/driver/nvidia/version
    for mlcr_file in /proc/driver/nvidia/gpus/*/information; do
        mlcr_report_field gpu : Model "$mlcr_file"
    done
}

# mlcr_report_first_line KEY FILE: report the first line of FILE, if it can be read.
mlcr_report_first_line() {
    [ -r "$2" ] || return 0
    mlcr_line=
    IFS= read -r mlcr_line <"$2" || :
    [ -z "$mlcr_line" ] || mlcr_print_record "$1" "$mlcr_line"
}

# mlcr_report_field KEY SEPARATOR NAME FILE: report what follows NAME and SEPARATOR in one of the
# first lines of FILE. A shell reads byte by byte, so it must not read all of a long file.
mlcr_report_field() {
    [ -r "$4" ] || return 0
    mlcr_left=20
    while [ $mlcr_left -gt 0 ] && IFS= read -r mlcr_line; do
        mlcr_left=$((mlcr_left - 1))
        case $mlcr_line in
        "$3"*"$2"*) ;;
        *) continue ;;
        esac
        mlcr_line=${mlcr_line#*"$2"}
        mlcr_print_record "$1" "${mlcr_line#"${mlcr_line%%[! 	]*}"}"
        return 0
    done <"$4"
}

# mlcr_report_stat PATH...: report "SIZE SECONDS PATH" of each existing PATH: its size, and the time
# of its last change.
mlcr_report_stat() {
    for mlcr_path in "$@"; do
        mlcr_expand_home "$mlcr_path"
        mlcr_path=$mlcr_expanded
        [ -e "$mlcr_path" ] || continue
        mlcr_value=$(stat -L -c '%s %Y' -- "$mlcr_path" 2>/dev/null) || continue
        mlcr_print_record stat "$mlcr_value $mlcr_path"
    done
}

# mlcr_read_cache FILE KEY: set mlcr_line to the value in FILE, if that is the value for KEY; fail
# otherwise.
mlcr_read_cache() {
    mlcr_line=
    [ -s "$1" ] || return 1
    {
        read -r mlcr_name
        [ "$mlcr_name" != "$2" ] || read -r mlcr_line
    } <"$1"
    [ "$mlcr_name" = "$2" ]
}

# mlcr_print_engine_version ENGINE...: print the version of an engine on one line; nothing if it is
# not known. The call exports mlcr_root. There the version is cached until the engine's program
# changes, or its server starts again: the question takes as long as a start of the engine's client.
mlcr_print_engine_version() {
    [ -n "${mlcr_root-}" ] && mlcr_program=$(command -v "$1") || return 0
    mlcr_cache=$mlcr_root/engine-${1##*/}
    if [ "$mlcr_cache" -nt "$mlcr_program" ] && ! [ /var/run/docker.sock -nt "$mlcr_cache" ] &&
        mlcr_read_cache "$mlcr_cache" "$*"; then
        printf '%s\n' "$mlcr_line"
        return
    fi
    case ${1##*/} in
    singularity | apptainer) mlcr_line=$(mlcr_print_client_version "$@" 2>/dev/null) ;;
    *) mlcr_line=$(mlcr_print_server_version "$@" 2>/dev/null) ||
        mlcr_line=$(mlcr_print_client_version "$@" 2>/dev/null) ;;
    esac || return 0
    printf '%s\n' "$mlcr_line"
    mlcr_write_atomically "$mlcr_cache" "$*
$mlcr_line" 2>/dev/null || :
}

# mlcr_print_sif_digest IMAGE: print the SHA-256 of a SIF file; nothing if it cannot be computed in a
# minute. The call exports mlcr_root. There the digest is cached until the image changes. It is not
# beside the image: a task may write there, and so plant links, or another digest.
mlcr_print_sif_digest() {
    mlcr_signature=$(stat -L -c '%d-%i %s %Y %Z' -- "$1" 2>/dev/null) || return 0
    mlcr_cache=${mlcr_root:+$mlcr_root/sif-${mlcr_signature%% *}}
    if mlcr_read_cache "$mlcr_cache" "$mlcr_signature"; then
        printf '%s\n' "$mlcr_line"
        return
    fi
    mlcr_find_checksum_command || return 0
    # shellcheck disable=SC2086 # words
    mlcr_line=$(mlcr_limit_signal=KILL mlcr_run_limited 40 $mlcr_checksum_command <"$1") || return 0
    mlcr_line=${mlcr_line%% *}
    printf '%s\n' "$mlcr_line"
    [ -z "$mlcr_cache" ] || mlcr_write_atomically "$mlcr_cache" "$mlcr_signature
$mlcr_line" 2>/dev/null || :
}
