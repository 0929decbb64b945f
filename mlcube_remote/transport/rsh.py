# SPDX-License-Identifier: Apache-2.0
"""What rsync takes for its remote shell.

It hands its own file descriptors to the process that has the connection, then waits for the
remote command's status. Usage: ``python -I -S rsh.py SOCKET_FD HOST COMMAND...``. It starts twice
for every host of a run, so it imports next to nothing: ``socket`` itself takes as long to import as
the interpreter to start, its C half does not.
"""

import os
import sys
from _socket import SCM_RIGHTS, SOL_SOCKET, socket


def main() -> int:
    """Send descriptors 0 to 2 and the command; return the status that comes back."""
    owner = socket(fileno=int(sys.argv[1]))
    command = os.fsencode("\0".join(sys.argv[3:]))
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    try:
        owner.sendall(len(command).to_bytes(4, "big"))
        owner.sendmsg([b"f"], [(SOL_SOCKET, SCM_RIGHTS, descriptors)])
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
