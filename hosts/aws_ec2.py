#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List the running EC2 instances that have the tag mlcube=yes, as an inventory of mlcube-remote.

    mlcube-remote hosts list --inventory hosts/aws_ec2.py

It asks the AWS command line, whose settings apply (AWS_PROFILE, AWS_REGION). A host has the name of
the instance, or its id; groups are instance types and availability zones.
"""

import json
import re
import subprocess

FILTERS = ["Name=instance-state-name,Values=running", "Name=tag:mlcube,Values=yes"]
DEFAULTS = {
    "user": "ubuntu",
    "host_keys": "accept-new",
    "known_hosts": "~/.ssh/known_hosts.cloud",
    "connect_timeout": 20,
}

asked = subprocess.run(
    ["aws", "ec2", "describe-instances", "--output", "json", "--filters", *FILTERS],
    check=False,
    stdout=subprocess.PIPE,
)
if asked.returncode != 0:
    raise SystemExit(asked.returncode)  # the program has said why
hosts: dict[str, dict[str, object]] = {}
groups: dict[str, list[str]] = {}
for reservation in json.loads(asked.stdout)["Reservations"]:
    for instance in reservation["Instances"]:
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", tags.get("Name", "")).strip("-.")
        if not name or name in hosts:
            name = instance["InstanceId"]
        kind = instance["InstanceType"]
        hosts[name] = {
            "address": instance.get("PublicIpAddress") or instance["PrivateIpAddress"],
            "labels": {"type": kind, "id": instance["InstanceId"]},
        }
        for group in (kind, instance["Placement"]["AvailabilityZone"]):
            groups.setdefault(group, []).append(name)
print(json.dumps({"defaults": DEFAULTS, "hosts": hosts, "groups": groups}))
