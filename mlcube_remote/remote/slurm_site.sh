# shellcheck shell=sh
# shellcheck disable=SC2154 # functions of other files set variables
# SPDX-License-Identifier: Apache-2.0
# What a Slurm cluster offers to this user. Called by facts/ for "hosts check".

# mlcr_report_slurm ROOT: report the version of sbatch, the partitions as "NAME STATE TIMELIMIT NODES
# GRES", the quota for ROOT, and, if there is an accounting, the user's default account and limits; or
# what Slurm says instead. Status 127: a program of Slurm does not exist.
mlcr_report_slurm() {
    for mlcr_program in sbatch squeue scancel sinfo; do
        command -v "$mlcr_program" >/dev/null 2>&1 || {
            mlcr_print_record missing "$mlcr_program"
            return 127
        }
    done
    mlcr_print_record version "$(mlcr_run_limited 10 sbatch --version 2>&1)"
    mlcr_answer=$(mlcr_run_limited 30 sinfo -h -o '%P %a %l %D %G' 2>&1) || {
        mlcr_print_record problem "${mlcr_answer:-sinfo gives no answer}"
        return 0
    }
    mlcr_print_record partitions "$mlcr_answer"
    mlcr_print_record quota "$(mlcr_print_quota "$1")"
    ! command -v sacctmgr >/dev/null 2>&1 || mlcr_report_accounting
}

# mlcr_report_accounting: report the user's default account; as limits, qos_of and qos lines with those
# of the user's associations, the QOS of these, and the limits of each QOS; as enforced, what of this
# Slurm demands.
mlcr_report_accounting() {
    mlcr_read_user
    mlcr_answer=$(mlcr_run_limited 30 sacctmgr -n -P show user "$mlcr_user" format=DefaultAccount \
        2>/dev/null) || return 0
    mlcr_print_record account "${mlcr_answer%%|*}"
    mlcr_answer=$(mlcr_run_limited 30 sacctmgr -n -P show assoc where user="$mlcr_user" \
        format=Account,Partition,MaxJobs,MaxSubmit,MaxWall 2>/dev/null) || return 0
    mlcr_print_record limits "$mlcr_answer"
    mlcr_answer=$(mlcr_run_limited 30 sacctmgr -n -P show assoc where user="$mlcr_user" \
        format=QOS 2>/dev/null) || return 0
    mlcr_print_record qos_of "$mlcr_answer"
    mlcr_answer=$(mlcr_run_limited 30 sacctmgr -n -P show qos \
        format=Name,MaxJobsPU,MaxSubmitPU,MaxWall 2>/dev/null) || return 0
    mlcr_print_record qos "$mlcr_answer"
    mlcr_print_record enforced "$(mlcr_run_limited 10 scontrol show config 2>/dev/null |
        sed -n 's/^AccountingStorageEnforce *= *//p')"
}

# mlcr_print_quota ROOT: print lines "FILESYSTEM KIB QUOTA LIMIT GRACE FILES QUOTA LIMIT GRACE", among
# others, if the file system of ROOT has a quota and tells it. A number with "*" is over its quota.
mlcr_print_quota() {
    mlcr_read_user
    if command -v lfs >/dev/null 2>&1 &&
        mlcr_run_limited 10 lfs quota -q -u "$mlcr_user" -- "$1" 2>/dev/null; then
        return
    fi
    ! command -v quota >/dev/null 2>&1 || mlcr_run_limited 10 quota -w -p 2>/dev/null || :
}

# mlcr_try_compute_node ROOT SECONDS ENGINE SCRATCH SCRIPT WORD...: run SCRIPT, with the functions of
# mlcr_show_node, after WORD..., which start it on a compute node, and wait SECONDS for it. Report what
# mlcr_show_node prints there; as writes, yes or no: whether this machine reads what the node writes in
# ROOT. If it does not run, report what WORD... print as problem.
mlcr_try_compute_node() {
    mlcr_trial=$1/node-trial.$$
    mkdir -m 0700 -- "$mlcr_trial" && echo login >"$mlcr_trial/login" || return 1
    mlcr_seconds=$2
    mlcr_engine=$3
    mlcr_place=$4
    mlcr_script=$5
    shift 5
    mlcr_answer=$(mlcr_run_limited "$mlcr_seconds" "$@" /bin/sh -c "$mlcr_script" \
        sh "$mlcr_trial" "$mlcr_engine" "$mlcr_place" 2>"$mlcr_trial/errors")
    mlcr_code=$?
    case $mlcr_answer in
    *"
$mlcr_trial
node "*)
        # The setup of the tasks may print something.
        mlcr_answer=${mlcr_answer##*"
$mlcr_trial
"}
        mlcr_report_compute_node "$mlcr_trial"
        ;;
    *)
        [ $mlcr_code -ne 124 ] || echo "no node was free in $mlcr_seconds s" >>"$mlcr_trial/errors"
        mlcr_print_record problem "$(tail -n 3 -- "$mlcr_trial/errors" | tr -d '\000')"
        ;;
    esac
    rm -rf -- "$mlcr_trial"
}

# mlcr_report_compute_node TRIAL: report the lines "KEY VALUE" in mlcr_answer, and whether the node has
# written to TRIAL: a network file system may show that late.
mlcr_report_compute_node() {
    while read -r mlcr_key mlcr_value; do
        mlcr_print_record "$mlcr_key" "$mlcr_value"
    done <<EOF
$mlcr_answer
EOF
    mlcr_tries=0
    until [ -s "$1/node" ] || [ $mlcr_tries -ge 5 ]; do
        sleep 1
        mlcr_tries=$((mlcr_tries + 1))
    done
    if [ -s "$1/node" ]; then mlcr_value=yes; else mlcr_value=no; fi
    mlcr_print_record writes "$mlcr_value"
}

# mlcr_show_node TRIAL ENGINE SCRATCH: print the line TRIAL, and lines "KEY VALUE" about this compute
# node: its name; as sees, yes or no: whether it reads what the login node writes in TRIAL; as engine
# what "ENGINE --version" prints; as scratch, whether the place SCRATCH can be used, unless it is empty.
mlcr_show_node() {
    printf '\n%s\nnode %s\n' "$1" "$(uname -n)"
    if [ -s "$1/login" ]; then echo "sees yes"; else echo "sees no"; fi
    (echo node >"$1/node") 2>/dev/null
    "$2" --version 2>&1 | sed 's/^/engine /'
    [ -z "$3" ] || mlcr_try_scratch "$3" 2>&1 | sed 's/^/scratch /'
}
