# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# Facts about the host. Called by facts/ before a run and by "hosts check".

# mlcr_probe_host ROOT CUBE [PATH...]: prepare ROOT and the directory CUBE below it (empty: none),
# and print the facts that a run needs, and those for its record; for each PATH, print whether it is
# a file or a directory, its size and its time.
mlcr_probe_host() {
    mlcr_find_missing_programs
    if [ -n "$mlcr_missing" ]; then
        printf '%s\n' "$mlcr_missing" >&2
        return 4
    fi
    mlcr_expand_home "$1"
    mlcr_root=$mlcr_expanded
    mlcr_cube=$2
    shift 2
    mlcr_read_user
    mlcr_print_record home "$HOME"
    mlcr_print_record root "$mlcr_root"
    mlcr_print_record user "$mlcr_user"
    mlcr_print_record uid "$mlcr_uid"
    mlcr_print_answer machine mlcr_print_machine
    for mlcr_program in singularity apptainer; do
        ! command -v "$mlcr_program" >/dev/null 2>&1 || mlcr_print_record program "$mlcr_program"
    done
    ! command -v stat >/dev/null 2>&1 || mlcr_print_record compares yes
    mlcr_report_logout
    mlcr_report_docker "${mlcr_docker-}"
    mlcr_make_private_directories "$mlcr_root" \
        "$mlcr_root/cubes" "$mlcr_root/data" "$mlcr_root/jobs" \
        "$mlcr_root/locks" "$mlcr_root/trials" "$mlcr_root/workspaces" || return 3
    # rsync gives this directory the modes of the cube; other users cannot enter cubes/.
    if [ -n "$mlcr_cube" ]; then
        mlcr_make_directory "$mlcr_root/$mlcr_cube" || return 3
    fi
    mlcr_print_answer root_id mlcr_print_root_id "$mlcr_root"
    mlcr_print_answer rsync mlcr_print_rsync_version "$mlcr_root"
    for mlcr_path in "$@"; do
        mlcr_expand_home "$mlcr_path"
        mlcr_path=$mlcr_expanded
        mlcr_find_kind "$mlcr_path"
        mlcr_print_record kind "$mlcr_kind$mlcr_path"
    done
    # What is printed from here on differs from run to run.
    mlcr_print_record now "$(date +%s)"
    mlcr_report_stat "$@"
    mlcr_report_machine
}

# mlcr_find_missing_programs: set mlcr_missing to those programs of the library that the host does
# not have; empty: it has all. Those that have a substitute do not count, such as timeout.
mlcr_find_missing_programs() {
    mlcr_missing=
    for mlcr_program in cat chmod cksum cp cut date df env find grep head id ln ls mkdir mkfifo \
        mktemp mv nice od readlink rm rmdir sed sleep sort tail touch tr uname uniq wc xargs; do
        command -v "$mlcr_program" >/dev/null 2>&1 ||
            mlcr_missing="$mlcr_missing${mlcr_missing:+ }$mlcr_program"
    done
}

# mlcr_print_missing_programs: print the programs that mlcr_find_missing_programs finds.
mlcr_print_missing_programs() {
    mlcr_find_missing_programs
    printf '%s' "$mlcr_missing"
}

# mlcr_make_private_directories DIRECTORY...: create the directories that do not exist (parents come
# first) and check that no other user can write to any of them; otherwise print the reason and fail.
# One ls checks all of them, because each process makes every run slower.
mlcr_make_private_directories() {
    for mlcr_directory in "$@"; do
        if [ -L "$mlcr_directory" ]; then
            echo "$mlcr_directory is a symbolic link; set remote_root to its target" >&2
            return 1
        fi
        mlcr_make_directory "$mlcr_directory" || return 1
        if ! [ -w "$mlcr_directory" ]; then
            echo "$mlcr_directory is not writable" >&2
            return 1
        fi
    done
    # ls -n is the portable way to read owner and mode; stat(1) is not in POSIX.
    [ -n "${mlcr_uid-}" ] || mlcr_read_user
    # shellcheck disable=SC2012 # only its first fields are read
    ls -ldn -- "$@" | {
        while read -r mlcr_mode _ mlcr_owner mlcr_rest; do
            case $mlcr_mode in
            # The rest of a name that contains a newline.
            d?????????*) ;;
            *) continue ;;
            esac
            if [ "$mlcr_owner" != "$mlcr_uid" ]; then
                echo "a directory belongs to uid $mlcr_owner, not to you (uid $mlcr_uid):" \
                    "$mlcr_rest" >&2
                return 1
            fi
            case $mlcr_mode in
            ?????w* | ????????w*)
                echo "a directory can be written by others ($mlcr_mode): $mlcr_rest;" \
                    "run chmod go-w on it" >&2
                return 1
                ;;
            esac
        done
    }
}

# mlcr_print_root_id ROOT: print a random word that is stored in ROOT. A client compares these words
# to notice that two of its hosts are one machine, or share one file system.
mlcr_print_root_id() {
    if [ ! -s "$1/id" ]; then
        # ln does not replace a file: if two clients create it at once, both read the same id.
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$1/id.$$"
        ln -- "$1/id.$$" "$1/id" 2>/dev/null || [ -s "$1/id" ] || mv -- "$1/id.$$" "$1/id"
        rm -f -- "$1/id.$$"
    fi
    read -r mlcr_text <"$1/id" || :
    printf '%s' "$mlcr_text"
}

# mlcr_print_machine: print what "uname -m" prints, without a newline; read it from the kernel if
# possible, which starts no process.
mlcr_print_machine() {
    if [ -r /proc/sys/kernel/arch ]; then
        read -r mlcr_text </proc/sys/kernel/arch
        printf '%s' "$mlcr_text"
    else
        printf '%s' "$(uname -m)"
    fi
}

# mlcr_print_rsync_version ROOT: print the version of rsync, or nothing if it is not installed. A
# usable version is cached until the program changes: the question takes longer than the whole
# probe.
mlcr_print_rsync_version() {
    mlcr_program=$(command -v rsync) || return 0
    if [ -s "$1/rsync" ] && [ "$1/rsync" -nt "$mlcr_program" ]; then
        read -r mlcr_rsync_release mlcr_path <"$1/rsync"
        case $mlcr_rsync_release in
        [012].* | 3.0.*) ;; # too old: ask again, it may have been upgraded
        *)
            if [ "$mlcr_path" = "$mlcr_program" ]; then
                printf '%s' "$mlcr_rsync_release"
                return
            fi
            ;;
        esac
    fi
    # "rsync  version 3.2.7  protocol version 31": read the third word. The rsync of macOS and
    # OpenBSD prints "openrsync: protocol version 29" first.
    rsync --version 2>/dev/null | {
        read -r mlcr_value _ mlcr_rsync_release _
        if [ "$mlcr_value" = openrsync: ]; then
            printf '%s' openrsync
            return
        fi
        printf '%s %s\n' "$mlcr_rsync_release" "$mlcr_program" >"$1/rsync"
        printf '%s' "$mlcr_rsync_release"
    }
}

# mlcr_report_logout: report which processes systemd kills when the last session of the user ends:
# "all" of them, or those below the user's "manager", such as rootless containers.
mlcr_report_logout() {
    if [ "$mlcr_uid" = 0 ] || [ ! -d /run/systemd/seats ]; then return 0; fi
    mlcr_killed_at_logout=manager
    [ ! -e "/var/lib/systemd/linger/$mlcr_user" ] || mlcr_killed_at_logout=
    # Read the files, because a process that asks logind takes longer than the whole probe.
    for mlcr_file in /etc/systemd/logind.conf /etc/systemd/logind.conf.d/*.conf; do
        [ -r "$mlcr_file" ] || continue
        while read -r mlcr_setting; do
            case $mlcr_setting in KillUserProcesses=[yt1]*) mlcr_killed_at_logout=all ;; esac
        done <"$mlcr_file"
    done
    [ -z "$mlcr_killed_at_logout" ] || mlcr_print_record logout "$mlcr_killed_at_logout"
}

# mlcr_describe_docker: print what a hint about a Docker that does not answer depends on: who starts
# services ("init"), and the socket of this user's rootless Docker ("rootless"), if it is installed.
mlcr_describe_docker() {
    mlcr_read_user
    mlcr_init=
    if [ -d /run/systemd/system ]; then
        mlcr_init=systemd
    elif command -v rc-service >/dev/null 2>&1; then
        mlcr_init=openrc
    elif [ -e /etc/init.d/docker ]; then
        mlcr_init=service
    fi
    mlcr_print_record init "$mlcr_init"
    mlcr_print_record uid "$mlcr_uid"
    mlcr_folder=${XDG_RUNTIME_DIR:-/run/user/$mlcr_uid}
    mlcr_file=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/docker.service
    if [ -e "$mlcr_folder/docker.sock" ] || [ -e "$mlcr_file" ]; then
        mlcr_print_record rootless "$mlcr_folder/docker.sock"
    fi
}

# mlcr_report_docker ENGINE: report if the program of the platform "docker" is Podman, which some hosts
# have behind this name. The client quoted the words of ENGINE; without any, the job has another
# platform. mlcr_depends_on_docker is "yes" if the job depends on the answer. Podman prints "podman version 4.3.1", or
# "docker version 4.3.1" behind a link; Docker prints "Docker version 20.10.24".
mlcr_report_docker() {
    [ -n "$1" ] || return 0
    # Only Podman's containers end at a logout.
    [ "${mlcr_depends_on_docker-}" = yes ] || [ "${mlcr_killed_at_logout-}" = manager ] || return 0
    eval "set -- $1"
    case $(mlcr_run_limited 10 "$@" --version 2>/dev/null) in
    *'podman version '[0-9]* | *'docker version '[0-9]*) mlcr_print_record docker podman ;;
    esac
}

# mlcr_list_gpus: print "NAME, MEMORY" for each GPU, one per line; status 127 if neither nvidia-smi
# nor a device file exists. If the driver does not answer, nvidia-smi prints its error to stdout.
# Without nvidia-smi, some machines still have device files: then print the path of one.
mlcr_list_gpus() {
    if ! command -v nvidia-smi >/dev/null 2>&1; then
        for mlcr_device in /dev/nvidia0 /dev/nvhost-gpu /dev/dxg; do
            [ -e "$mlcr_device" ] || continue
            echo "$mlcr_device"
            return 0
        done
        return 127
    fi
    mlcr_run_limited 30 nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
}
