"""A flusher to be killed: `python -m tests.faults.flusher STEP`.

STEP: `before_commit` and `before_delete` die by SIGKILL there, at the second batch; `drain` works until neither the spool nor
the stream holds anything.
"""

import os
import signal
import sys
import time
from contextlib import suppress

import django

django.setup()

from django.utils import timezone  # noqa: E402 (Django first)

from tracking import flush, mail_hits, spool, stream  # noqa: E402


def die(function, number):
    """Calls it, then dies at its n-th call."""
    calls = []

    def deadly(*args):
        function(*args)
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return deadly


def main(step):
    if step == "before_commit":
        flush.BATCH = 20
        flush.STORES[0] = (flush.STORES[0][0], die(mail_hits.store_mail_hits, 2))
    elif step == "before_delete":
        flush.BATCH = 20
        stream.stored = die(lambda ids: None, 2)  # nothing of what it stored is deleted
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(stream.AWAY_ERRORS):
            left = spool.settle()
            flush.flush(timezone.now())
            if step == "drain" and left == 0 and stream.look().length == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{step}: not done within a minute")


if __name__ == "__main__":
    main(sys.argv[1])
