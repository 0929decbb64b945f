#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List the running Compute Engine instances that have the label mlcube=yes, as an inventory.

    mlcube-remote hosts list --inventory hosts/gcloud.py

It asks the gcloud command line, whose project applies. The key is that of "gcloud compute ssh"; log
in with it once, so that the instances have it. Groups are zones and machine types.
"""

import json
import subprocess

FILTER = "status=RUNNING AND labels.mlcube=yes"
DEFAULTS = {
    "identity_file": "~/.ssh/google_compute_engine",
    "host_keys": "accept-new",
    "known_hosts": "~/.ssh/known_hosts.cloud",
    "connect_timeout": 20,
}

asked = subprocess.run(
    ["gcloud", "compute", "instances", "list", "--format=json", f"--filter={FILTER}"],
    check=False,
    stdout=subprocess.PIPE,
)
if asked.returncode != 0:
    raise SystemExit(asked.returncode)  # the program has said why
hosts: dict[str, dict[str, object]] = {}
groups: dict[str, list[str]] = {}
for instance in json.loads(asked.stdout):
    name = instance["name"]
    zone = instance["zone"].rpartition("/")[2]
    if name in hosts:  # two zones may have instances of one name
        name = f"{name}.{zone}"
    interface = instance["networkInterfaces"][0]
    public = [each["natIP"] for each in interface.get("accessConfigs", []) if "natIP" in each]
    kind = instance["machineType"].rpartition("/")[2]
    hosts[name] = {
        "address": public[0] if public else interface["networkIP"],
        "labels": {**instance.get("labels", {}), "type": kind},
    }
    for group in (kind, zone):
        groups.setdefault(group, []).append(name)
print(json.dumps({"defaults": DEFAULTS, "hosts": hosts, "groups": groups}))
