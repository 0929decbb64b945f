# SPDX-License-Identifier: Apache-2.0
"""What the command line does, as functions; ``from mlcube_remote import run, attach, …``.

No function asks for anything, or prints anything but warnings; what happens is told to
``on_event``. How jobs ended is a value; an exception means that nothing could be tried at all.
"""
