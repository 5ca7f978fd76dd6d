"""Workers to be killed: `python -m tests.faults.nursery`. Forks one for each line on its standard input and prints its
process id; the line says where it dies by itself: `STEP NUMBER` of tests/faults/worker.py, or `none 1`.

Forking from a process that has Django loaded and no connection open costs milliseconds instead of a second.
"""

# ruff: noqa: I001 (Django first)

import os
import signal
import sys
import time
from datetime import timedelta

from tests.faults.worker import arm

from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from mail.delivery import engine, sweep


def live(step, number):
    """All jobs, for ever; it gets over everything that happens to its servers."""
    arm(step, number)
    while True:
        try:
            engine.deliver(engine.ALL, until=timezone.now() + timedelta(seconds=3))
            sweep.sweep_all()
        except (DatabaseError, InterfaceError):
            connection.close()
        time.sleep(0.05)


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: whoever was killed is gone
    for line in sys.stdin:
        step, number = line.split()
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                live(step, int(number))
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
