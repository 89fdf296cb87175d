"""Whether this process is the child of a fork.

Threads that the parent had running, ours or another library's, did not survive the fork, and some
threading layers end a child that tries to use them. Imported with the package, so that it sees
forks that come before the first kernel.
"""

import os

in_child = False


def _after_fork_in_child() -> None:
    global in_child
    in_child = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
