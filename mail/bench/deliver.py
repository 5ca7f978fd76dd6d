"""`manage.py bench deliver`: N personalised multipart mails from the ledger to a receiver on loopback.

Real worker processes run the engine: claim, build, sign, intent, SMTP, record. Around them no Celery and no network;
beside them, in the same run, the bare cost of each part of the work.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from mail.bench import bare, processes
from mail.bench.scene import DOMAIN, Scene, running_job, set_up
from mail.bench.sink import SinkProcess, Taken
from mail.models import SendJob
from smp.lib.bench import scratch_database, seconds

HELP = "hand over N mails to a sink on loopback, with worker processes and without Celery"

STALLED = 120.0  # seconds without a mail after which the bench gives up
BARE_ROWS = 5000
MEMORY_AT = (10, 50, 100)  # per cent of the mails
_PROJECT = Path(__file__).resolve().parent.parent.parent


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=20_000, metavar="N")
    parser.add_argument(
        "--sign", choices=("rsa2048", "none"), default="rsa2048", help="DKIM (default rsa2048)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="W", help="processes (default 1)")
    parser.add_argument(
        "--connections", type=int, default=80, metavar="C", help="to the sink, of all workers (default 80)"
    )
    parser.add_argument(
        "--delay-ms", type=int, default=0, metavar="D", help="the sink answers every flight so much later"
    )
    parser.add_argument("--python-sink", action="store_true", help="do not compile the sink")


@dataclass
class _Watched:
    """What was seen from outside while the workers ran."""

    workers_cpu: float = 0.0
    sent: list[int] = field(default_factory=list)  # by each worker
    memory: dict[int, float] = field(default_factory=dict)  # per cent of the mails → MB of the largest worker


def run(options: dict[str, Any]) -> dict[str, Any]:
    messages, workers = max(1, options["messages"]), max(1, options["workers"])
    connections, delay = max(1, options["connections"]), max(0, options["delay_ms"])
    sign = options["sign"] == "rsa2048"
    with tempfile.TemporaryDirectory() as folder, scratch_database() as database:
        now = timezone.now()
        scene = set_up(messages, sign=sign, connections=connections, now=now)
        signatures = bare.signatures_per_second()
        sample = bare.make_sample(scene.job, domain=DOMAIN, sign=sign, now=now)
        with SinkProcess(Path(folder), delay_ms=delay, compiled=not options["python_sink"]) as sink:
            smtp = bare.smtp_mails_per_second(
                sink.port, sample.mails, connections=connections, seconds=2.0 if delay else 1.0
            )
            kind, before = sink.kind, sink.taken()
            sink_cpu, postgres_cpu = processes.cpu_seconds(sink.pid), _postgres_cpu()
            watched = _deliver(database, scene, sink, messages, workers)
            sink_cpu = processes.cpu_seconds(sink.pid) - sink_cpu
            postgres_cpu = None if postgres_cpu is None else (_postgres_cpu() or 0.0) - postgres_cpu
            taken = Taken(*(after - first for after, first in zip(sink.taken(), before, strict=True)))
        _check(scene.job, messages, taken, sign=sign)
        elapsed = _seconds_by_the_ledger(scene.job)
        rest = running_job(scene.template, min(messages, BARE_ROWS), now=now)
        ledger = bare.ledger_microseconds(rest)
    rate = messages / elapsed
    cpu = watched.workers_cpu / messages * 1e6
    return {
        "messages": messages,
        "workers": workers,
        "celery": "not running: the worker processes call the engine themselves",
        "connections": taken.connections,
        "sign": options["sign"],
        "delay_ms": delay,
        "sink": kind,
        "bytes_per_mail": round(taken.bytes / messages),
        "taken_by_sink": taken.mails,
        "signed": taken.signed,
        "seconds": seconds(elapsed),
        "mails_per_second": round(rate, 1),
        "mails_per_second_per_worker": round(rate / workers, 1),
        "mails_by_worker": ", ".join(map(str, watched.sent)),
        "cpu_us_per_mail": {
            "workers": round(cpu),
            "postgresql": None if postgres_cpu is None else round(postgres_cpu / messages * 1e6),
            "sink": round(sink_cpu / messages * 1e6),
        },
        "worker_memory_mb": {f"at_{percent}_percent": round(mb) for percent, mb in watched.memory.items()},
        "bare": {
            "rsa2048_signatures_per_second": round(signatures),
            "smtp_mails_per_second": round(smtp, 1),
            "build_us": round(sample.build),
            "sign_us": round(sample.sign),
            "ledger_us": {name: round(value) for name, value in ledger.items()},
        },
        "ratio": {
            "per_worker_to_signing_limit": round(rate / workers / signatures, 2) if sign else None,
            "to_bare_smtp": round(rate / smtp, 3),
            "workers_cpu_to_build_and_sign": round(cpu / (sample.build + sample.sign), 2),
            "postgresql_cpu_to_bare_ledger": (
                None
                if postgres_cpu is None
                else round(postgres_cpu / messages * 1e6 / sum(ledger.values()), 2)
            ),
        },
    }


def _deliver(database: str, scene: Scene, sink: SinkProcess, messages: int, workers: int) -> _Watched:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "smp.settings"),
        "SMP_RELAY": f"127.0.0.1:{sink.port}",
        "SMP_RELAY_STARTTLS": "0",
    }
    command = [sys.executable, "-m", "mail.bench.worker", database, str(scene.job.pk)]
    running = [
        subprocess.Popen(
            command, cwd=_PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _worker in range(workers)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("a worker process did not start")
        SendJob.objects.filter(pk=scene.job.pk).update(started_at=timezone.now())
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return _watch(running, sink, messages)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _watch(running: list["subprocess.Popen[str]"], sink: SinkProcess, messages: int) -> _Watched:
    """Until all workers ended. Their memory is the largest seen up to each share of the mails."""
    watched = _Watched()
    first = sink.taken().mails
    most, last, moved = 0.0, first, time.monotonic()
    while any(process.poll() is None for process in running):
        count = sink.taken().mails
        most = max([most, *(processes.resident_mb(process.pid) for process in running)])
        for percent in MEMORY_AT:
            if (count - first) * 100 >= percent * messages:
                watched.memory.setdefault(percent, most)
        if count > last:
            last, moved = count, time.monotonic()
        elif time.monotonic() - moved > STALLED:
            raise RuntimeError(
                f"no mail for {STALLED:.0f} seconds, {last - first} of {messages} were handed over"
            )
        time.sleep(0.02)
    for process in running:
        assert process.stdout is not None
        said = process.stdout.read()
        if process.returncode or not said:
            raise RuntimeError("a worker process failed; its error stands above")
        told = json.loads(said)
        watched.workers_cpu += told["cpu_seconds"]
        watched.sent.append(told["sent"])
    return watched


def _check(job: SendJob, messages: int, taken: Taken, *, sign: bool) -> None:
    """Figures of mails that did not arrive, or of other mails than the ledger knows, would be worth nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, count(*) FROM mail_delivery WHERE job_id = %s GROUP BY state", [job.pk])
        states = dict(cursor.fetchall())
    if states != {"sent": messages} or taken.mails != messages or taken.errors:
        raise RuntimeError(f"the ledger says {states}, the sink took {taken.mails} ({taken.errors} errors)")
    if taken.signed != (messages if sign else 0):
        raise RuntimeError(f"{taken.signed} of {messages} mails were signed")


def _seconds_by_the_ledger(job: SendJob) -> float:
    """From the word "go" to the last result that was written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM max(d.result_at) - j.started_at)::float8 FROM mail_delivery d "
            "JOIN mail_sendjob j ON j.id = d.job_id WHERE j.id = %s GROUP BY j.started_at",
            [job.pk],
        )
        return float(cursor.fetchone()[0])


def _postgres_cpu() -> float | None:
    """CPU seconds of the whole server so far; None when it runs on another machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = processes.postmaster(cursor.fetchone()[0])
    return None if server is None else processes.cpu_seconds_of_family(server)
