# SPDX-License-Identifier: Apache-2.0
"""What rsync takes for its remote shell.

It hands its own file descriptors to the process that has the connection, then waits for the
remote command's status. Usage: ``python -I -S rsh.py SOCKET_FD HOST COMMAND...``. It must start in
milliseconds, so it imports next to nothing.
"""

import os
import socket
import sys


def main() -> int:
    """Send descriptors 0 to 2 and the command; return the status that comes back."""
    owner = socket.socket(fileno=int(sys.argv[1]))
    command = os.fsencode("\0".join(sys.argv[3:]))
    try:
        owner.sendall(len(command).to_bytes(4, "big"))
        socket.send_fds(owner, [b"f"], [0, 1, 2])
        owner.sendall(command)
        # The pipes must have one owner, or rsync would never see their end.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        status = owner.recv(1)
    except OSError:
        # The connection's owner has given up, and says why itself.
        return 255
    return status[0] if status else 255


if __name__ == "__main__":
    sys.exit(main())
