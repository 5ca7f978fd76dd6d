"""One worker process of `bench deliver`: `python -m mail.bench.worker DATABASE JOB`.

Says `ready`, waits for a line, delivers until nothing of the job is due any more, and says what it cost. It runs the
engine as a Celery worker's task does, without Celery: no broker message is part of the figures.
"""

import json
import os
import resource
import sys
import threading
from datetime import timedelta

import django


def main(database: str, job_id: int) -> None:
    django.setup()
    from django.db import connection
    from django.utils import timezone

    from mail.delivery.engine import deliver

    connection.settings_dict["NAME"] = database  # of every thread: they share this dictionary
    print("ready", flush=True)
    sys.stdin.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    before = _cpu_seconds()
    sent, more = 0, True
    while more:
        outcome = deliver(job_id, until=timezone.now() + timedelta(minutes=5))
        if outcome.trouble:
            sys.exit(outcome.trouble)
        sent += outcome.sent
        more = outcome.more
    print(json.dumps({"cpu_seconds": _cpu_seconds() - before, "sent": sent}), flush=True)


def _end_with_parent() -> None:
    """A bench that was killed leaves no worker behind: our standard input ends with it."""
    while os.read(0, 100):
        pass
    os._exit(1)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
