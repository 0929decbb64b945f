#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List the clusters of SkyPilot on this machine, as an inventory of mlcube-remote.

    mlcube-remote hosts list --inventory hosts/skypilot.py

SkyPilot writes a file for ssh(1) for each cluster, with the address, the user and the key of each
node, and includes it in ~/.ssh/config. So this inventory only has the names; a cluster is a group.
SkyPilot switches the check of host keys off; mlcube-remote does not follow that.
"""

import json
from pathlib import Path

DIRECTORY = Path.home() / ".sky" / "generated" / "ssh"
DEFAULTS = {"host_keys": "accept-new", "known_hosts": "~/.ssh/known_hosts.skypilot"}

hosts: dict[str, dict[str, object]] = {}
groups: dict[str, list[str]] = {}
for file in sorted(DIRECTORY.iterdir()) if DIRECTORY.is_dir() else []:
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    names = [
        name
        for words in lines
        if words and words[0].lower() == "host"
        for name in words[1:]
        if not set(name) & set("*?!")
    ]
    hosts.update({name: {} for name in names})
    group = f"cluster-{file.name}"
    if names:
        groups[group] = names
print(json.dumps({"defaults": DEFAULTS, "hosts": hosts, "groups": groups}))
