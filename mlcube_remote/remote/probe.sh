# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # functions of other files set and read variables
# SPDX-License-Identifier: Apache-2.0
# What the host is and has. Answers are NUL-terminated "key=value" records, because a value may
# hold anything but NUL. Every function is called in a subshell with stdin at /dev/null.

# mlcr_probe_host ROOT CUBE [PATH...]: prepare ROOT and, below it, the directory CUBE (empty: none),
# and print what a run must know about the host; for each PATH, what is there.
mlcr_probe_host() {
    mlcr_root=$(mlcr_expand_home "$1")
    mlcr_cube=$2
    shift 2
    mlcr_read_user
    mlcr_print_record home "$HOME"
    mlcr_print_record root "$mlcr_root"
    mlcr_print_record user "$mlcr_user"
    mlcr_print_record uid "$mlcr_uid"
    mlcr_print_record machine "$(mlcr_print_machine)"
    for mlcr_program in singularity apptainer; do
        ! command -v "$mlcr_program" >/dev/null 2>&1 || mlcr_print_record program "$mlcr_program"
    done
    mlcr_report_logout
    mlcr_print_record now "$(date +%s)"
    mlcr_make_private_directories "$mlcr_root" "$mlcr_root/cubes" "$mlcr_root/data" "$mlcr_root/images" \
        "$mlcr_root/jobs" "$mlcr_root/locks" "$mlcr_root/trials" "$mlcr_root/workspaces" || return 3
    # The mirror itself takes on the modes that the cube has here; nobody gets past cubes/.
    if [ -n "$mlcr_cube" ]; then
        mlcr_make_directory "$mlcr_root/$mlcr_cube" || return 3
    fi
    mlcr_print_record root_id "$(mlcr_print_root_id "$mlcr_root")"
    mlcr_print_record rsync "$(mlcr_print_rsync_version "$mlcr_root")"
    for mlcr_path in "$@"; do
        mlcr_path=$(mlcr_expand_home "$mlcr_path")
        mlcr_print_record kind "$(mlcr_print_kind "$mlcr_path")$mlcr_path"
    done
}

# mlcr_make_private_directories DIRECTORY...: make sure that each exists (in this order: parents first) and
# that nobody else can put anything into it; otherwise say why not and fail. A run pays for every
# process that is started here, so there is one ls for all of them.
mlcr_make_private_directories() {
    for mlcr_directory in "$@"; do
        if [ -L "$mlcr_directory" ]; then
            echo "$mlcr_directory is a symbolic link; set remote_root to what it points to" >&2
            return 1
        fi
        mlcr_make_directory "$mlcr_directory" || return 1
        if ! [ -w "$mlcr_directory" ]; then
            echo "$mlcr_directory is not writable" >&2
            return 1
        fi
    done
    # ls -n is the portable way to learn owner and mode; stat(1) is not in POSIX.
    [ -n "${mlcr_uid-}" ] || mlcr_read_user
    # shellcheck disable=SC2012 # only its first fields are read
    ls -ldn -- "$@" | {
        while read -r mlcr_mode _ mlcr_owner mlcr_rest; do
            case $mlcr_mode in
            # A name with a newline continues on a line that is no listing.
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

# mlcr_print_root_id ROOT: print a random word that stays with ROOT, so that a client notices when two
# of its hosts are one machine, or share one file system.
mlcr_print_root_id() {
    if [ ! -s "$1/id" ]; then
        # A link that is there is not replaced: of two that come at once, both read the first's.
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$1/id.$$"
        ln -- "$1/id.$$" "$1/id" 2>/dev/null || [ -s "$1/id" ] || mv -- "$1/id.$$" "$1/id"
        rm -f -- "$1/id.$$"
    fi
    read -r mlcr_text <"$1/id" || :
    printf '%s' "$mlcr_text"
}

# mlcr_print_machine: print what uname -m would, where the kernel tells it without another process.
mlcr_print_machine() {
    if [ -r /proc/sys/kernel/arch ]; then
        read -r mlcr_text </proc/sys/kernel/arch
        printf '%s' "$mlcr_text"
    else
        uname -m
    fi
}

# mlcr_print_rsync_version ROOT: print the version of rsync, or nothing where there is none. A good answer
# is kept for as long as the program is the same: asking takes longer than all else here.
mlcr_print_rsync_version() {
    mlcr_program=$(command -v rsync) || return 0
    if [ -s "$1/rsync" ] && [ "$1/rsync" -nt "$mlcr_program" ]; then
        read -r mlcr_rsync_release mlcr_path <"$1/rsync"
        case $mlcr_rsync_release in
        [012].* | 3.0.*) ;; # too old: perhaps it is newer by now
        *)
            if [ "$mlcr_path" = "$mlcr_program" ]; then
                printf '%s' "$mlcr_rsync_release"
                return
            fi
            ;;
        esac
    fi
    # "rsync  version 3.2.7  protocol version 31": the third word is wanted.
    rsync --version 2>/dev/null | {
        read -r _ _ mlcr_rsync_release _
        printf '%s %s\n' "$mlcr_rsync_release" "$mlcr_program" >"$1/rsync"
        printf '%s' "$mlcr_rsync_release"
    }
}

# mlcr_report_logout: tell what systemd ends when the user is logged in nowhere any more: "all" of the
# user's processes, or what runs under the user's own "manager", as rootless containers do.
mlcr_report_logout() {
    if [ "$mlcr_uid" = 0 ] || [ ! -d /run/systemd/seats ]; then return 0; fi
    mlcr_killed_at_logout=manager
    [ ! -e "/var/lib/systemd/linger/$mlcr_user" ] || mlcr_killed_at_logout=
    # Read here, because a process that asks logind takes longer than all else in a probe.
    for mlcr_file in /etc/systemd/logind.conf /etc/systemd/logind.conf.d/*.conf; do
        [ -r "$mlcr_file" ] || continue
        while read -r mlcr_setting; do
            case $mlcr_setting in KillUserProcesses=[yt1]*) mlcr_killed_at_logout=all ;; esac
        done <"$mlcr_file"
    done
    [ -z "$mlcr_killed_at_logout" ] || mlcr_print_record logout "$mlcr_killed_at_logout"
}

# mlcr_list_gpus: print "NAME, MEMORY" of each GPU, one a line; status 127 where nobody can be asked. What
# nvidia-smi says instead, when its driver does not answer, is on stdout as well. Some machines have
# devices and no nvidia-smi.
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
