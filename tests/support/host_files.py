# SPDX-License-Identifier: Apache-2.0
"""What is on a host: its whole root directory and the user's home, to compare before and after."""

from __future__ import annotations

from tests.support.hosts import SshHost

_OURS = (".mlcube-remote",)
"""Where a run may write, below the home."""
_OF_ENGINES = (
    *("/run", "/var/log", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"),
    *("/tmp/podman-run-*", "/tmp/containers-user-*", "/tmp/storage-run-*", "/tmp/build-temp-*"),
)
_OF_ENGINES_AT_HOME = (".local", ".config", ".cache", ".apptainer", ".docker")
"""Where engines and logins keep their own state."""
_KERNEL = ("/proc", "/sys", "/dev")
_READ = "/etc /root /home /opt /srv /mnt /media /usr/local /boot"
"""Where the content of files is read, too. Elsewhere the times are enough: a program can set the
time of the last write, but not that of the last change."""


def host_files(host: SshHost) -> dict[str, str]:
    """Return (path, all that the kernel and its content tell) for each entry of a host."""
    home = str(host.home)
    skipped = (*_KERNEL, *_OF_ENGINES, *(f"{home}/{name}" for name in _OURS + _OF_ENGINES_AT_HOME))
    names = " -o ".join(f"-path '{path}'" for path in skipped)
    skip = f"\\( {names} \\) -prune -o"
    shown = "-printf '%p\\t%y %m %U:%G %n %s %T@ %C@ %i %l\\0'"
    small = "-type f -size -64k -exec sha256sum -z {} +"
    script = f"find / '{home}' -xdev {skip} {shown}; find {_READ} '{home}' -xdev {skip} {small}"
    done = host.exec(["sh", "-c", script])
    assert done.exit_code == 0, done.output[-1000:]
    found: dict[str, str] = {}
    for line in done.output.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        path, tab, about = line.partition("\t")
        if tab:
            # Files of engines come and go here: their names count, but not the time of a change.
            is_shared = path in {"/tmp", "/var/tmp", home}
            found[path] = " ".join(about.split(" ")[:3]) if is_shared else about
        else:
            digest, _, path = line.partition("  ")
            # A file that appeared between the two lists is in the next ones, if it stays.
            if path in found:
                found[path] = f"{found[path]} {digest}"
    assert len(found) > 5000, "the whole system, not a part of it"
    return found
