"""`python started.py ANSWER COMMAND…`: runs a command, and writes into ANSWER how it ended and what it took.

It is a program of its own and imports next to nothing, since the kernel's peak of a process begins with that of the
process which started it.
"""

import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1


def main(answer: str, *command: str) -> None:
    """Run the command to its end. It dies with this process, however that ends."""
    kernel, own = ctypes.CDLL(None), os.getpid()
    began = time.perf_counter()
    child = os.fork()
    if not child:
        kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == own:
            os.execv(command[0], command)
        os._exit(1)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    told = {"code": code, "seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss}
    with open(answer, "w", encoding="ascii") as file:  # noqa: PTH123 (pathlib takes its time to import)
        json.dump(told, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
