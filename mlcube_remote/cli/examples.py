# SPDX-License-Identifier: Apache-2.0
"""The examples of the help pages. A test parses each command line."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "run": (
        (
            "Train on one host, with a parameter",
            "mlcube-remote run --host=gpu01 --task=train parameters_file=train.yaml",
        ),
        (
            "Use all hosts of a group but one, with data that is already there",
            "mlcube-remote run --host='train,!gpu03' --task=train data_dir=/data/mnist",
        ),
        (
            "Start a sweep of nine jobs, and leave",
            "mlcube-remote run -d --host=all --sweep lr=0.1,0.01,0.001 --sweep batch=4,8,16",
        ),
    ),
    "configure": (
        ("Prepare all hosts before the first run", "mlcube-remote configure --host=all"),
        ("See the commands first", "mlcube-remote configure --host=gpu01 --dry-run"),
    ),
    "rerun": (
        ("Run the failed jobs of the latest run again", "mlcube-remote rerun --failed"),
        (
            "Run one job again, and see whether its outputs are the same",
            "mlcube-remote rerun sweep-a/03 --verify",
        ),
        (
            "If a host is gone for good, run its jobs on other hosts",
            "mlcube-remote rerun sweep-a --failed --gone=gpu03",
        ),
    ),
    "attach": (
        ("Follow the latest run", "mlcube-remote attach"),
        (
            "Follow one job of it, from its last 20 lines on",
            "mlcube-remote attach last/03 --tail=20",
        ),
        (
            "Follow a run that another machine has started",
            "mlcube-remote attach 261123-191722-cnc5kgw4xkneu7ml --host=gpu01",
        ),
    ),
    "wait": (
        (
            "Wait for the latest run, then pull its outputs",
            "mlcube-remote wait && mlcube-remote pull",
        ),
        ("Wait for three jobs of a sweep", "mlcube-remote wait sweep-a --job='[01-03]'"),
        ("Get the result as JSON", "mlcube-remote wait last --output=json"),
    ),
    "logs": (
        ("Print the output of the latest run", "mlcube-remote logs"),
        (
            "Follow one job of a sweep, from its last 20 lines on",
            "mlcube-remote logs sweep-a/03 --follow --tail=20",
        ),
        ("Print the output on one host", "mlcube-remote logs last/gpu01"),
    ),
    "status": (
        ("Show the latest run", "mlcube-remote status"),
        ("Show one job", "mlcube-remote status sweep-a/03"),
        ("Get all fields as JSON", "mlcube-remote status last --output=json"),
    ),
    "stop": (
        ("Stop the only run that may still be running", "mlcube-remote stop"),
        ("Stop one job of a sweep", "mlcube-remote stop sweep-a/03"),
        ("Give the tasks a minute to write their files", "mlcube-remote stop sweep-a --grace=1m"),
    ),
    "pull": (
        ("Pull the outputs of the latest run", "mlcube-remote pull"),
        ("Pull one output of one job", "mlcube-remote pull sweep-a/03 --only=model_dir"),
    ),
    "ps": (
        ("Show what runs now, on all hosts", "mlcube-remote ps"),
        (
            "Watch the jobs of one cube on some hosts",
            "mlcube-remote ps --watch --cube=mnist --host='gpu[01-04]'",
        ),
        ("Find the jobs that failed", "mlcube-remote ps --state=failed --jobs"),
    ),
    "clean": (
        ("See what would be removed", "mlcube-remote clean --cubes --images --dry-run"),
        ("Remove what was not used for a month", "mlcube-remote clean --cubes --older-than=30d"),
    ),
    "results show": (
        (
            "Show the latest run, highest accuracy first",
            "mlcube-remote results show last --sort=-accuracy",
        ),
        (
            "Compare two runs in few columns",
            "mlcube-remote results show sweep-a sweep-b --columns=lr,loss",
        ),
        (
            "Write a table for a spreadsheet",
            "mlcube-remote results show sweep-a --csv > sweep-a.csv",
        ),
    ),
    "results list": (
        ("List the runs of this machine", "mlcube-remote results list"),
        ("Show the best accuracy of each", "mlcube-remote results list --best=-accuracy"),
        ("Get them as JSON", "mlcube-remote results list --output=json"),
    ),
    "hosts check": (
        ("Check a host that ssh knows", "mlcube-remote hosts check gpu01"),
        ("Check all hosts of the inventory", "mlcube-remote hosts check"),
        (
            "Check whether Apptainer works there",
            "mlcube-remote hosts check gpu01 --platform=apptainer",
        ),
    ),
    "hosts top": (
        ("See which hosts have free GPUs", "mlcube-remote hosts top"),
        ("Look at the hosts with a label", "mlcube-remote hosts top --where gpu=a100"),
    ),
    "exec": (
        ("Look at the GPUs of a running task", "mlcube-remote exec last -- nvidia-smi -l 5"),
        (
            "Copy a file out of one job's container",
            "mlcube-remote exec sweep-a/03 -- cat /tmp/trace.json > trace.json",
        ),
    ),
    "init": (
        ("Make a cube from nothing", "mlcube-remote init greeter"),
        ("Make a cube that runs a script", "mlcube-remote init counter --script=count.py"),
    ),
    "completion": (
        ("bash: in ~/.bashrc", 'eval "$(mlcube-remote completion bash)"'),
        ("zsh: in ~/.zshrc, after compinit", 'eval "$(mlcube-remote completion zsh)"'),
        ("fish: in ~/.config/fish/config.fish", "mlcube-remote completion fish | source"),
    ),
    "trust": (
        ("Show what a cube asks for, and be asked", "mlcube-remote trust examples/mnist"),
        ("No longer trust it", "mlcube-remote trust --forget examples/mnist"),
    ),
}
"""Command → what each example does, and its command line."""
