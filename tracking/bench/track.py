"""`manage.py bench track`: N clicks and opens against a real gunicorn on loopback, then into the table.

Clients are a process of their own with connections kept alive. Beside the figures stands the bare cost, taken in the same
run: gunicorn with an empty answer, XADD alone, COPY of the same rows.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from mail.bench import processes
from mail.links import click_url, open_url
from mail.models import CountedUrl, Delivery
from mail.models.delivery import DeliveryState
from smp.lib.bench import scratch_database, seconds
from tracking import flush, spool, stream
from tracking.hits import CLICK, Hit, new_uid, to_bytes
from tracking.models import MailHit, RefusedHit

HELP = "answer N clicks and opens by gunicorn on loopback, and store them"

MAILS = 2000
LINKS = 10
PATIENCE = 30.0  # seconds for gunicorn to come up, and for the last files of the spool
_PROJECT = Path(__file__).resolve().parent.parent.parent

_DELIVERIES = """
INSERT INTO mail_delivery (lead_id, kind, state, reason, decided_at, address, dm_permission, email_valid, registration,
    attempts, subject, enhanced_status, reply, remote_host, failed_address, sent_at)
SELECT n, 'wizard', %s, '', now(), 'a@b.example.jp', 'wanted', true, 'full', 1, '', '', '', '', '', now() - interval '1 hour'
FROM generate_series(1, %s) n
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--hits", type=int, default=20_000, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="W", help="web processes (default 1)")
    parser.add_argument(
        "--connections", type=int, default=16, metavar="C", help="of the clients (default 16)"
    )


def run(options: dict[str, Any]) -> dict[str, Any]:
    hits, workers = max(100, options["hits"]), max(1, options["workers"])
    connections = max(1, options["connections"])
    key = f"smp:bench:{secrets.token_hex(6)}"
    own = stream.KEY, stream.LIFE_KEY, settings.SPOOL_FOLDER
    with tempfile.TemporaryDirectory() as folder, scratch_database() as database:
        stream.KEY, stream.LIFE_KEY, settings.SPOOL_FOLDER = key, f"{key}:life", folder
        try:
            paths = _scene()
            environment = {"SMP_BENCH_DATABASE": database, "SMP_BENCH_STREAM": key, "SMP_SPOOL": folder}
            hello = _serve("tracking.bench.hello", paths, min(hits, 20_000), workers, connections, {})
            served = _serve("tracking.bench.web", paths, hits, workers, connections, environment)
            waiting = stream.look().length
            flushed = _flush()
            _check(served, hits)
            xadd = _bare_xadd()
            copied = _bare_copy()
        finally:
            stream.client().delete(key, f"{key}:life")
            stream.KEY, stream.LIFE_KEY, settings.SPOOL_FOLDER = own
    return {
        "hits": hits,
        "web_processes": workers,
        "connections": connections,
        "answers": served["statuses"],
        "stored": hits,
        "hits_per_second": round(served["rate"]),
        "hits_per_cpu_second": round(served["rate_cpu"]),
        "p50_ms": round(served["p50_ms"], 2),
        "p99_ms": round(served["p99_ms"], 2),
        "cpu_us_per_hit": round(1e6 / served["rate_cpu"]),
        "waited_in_stream": waiting,
        "flush_seconds": seconds(hits / flushed),
        "flush_rows_per_second": round(flushed),
        "bare": {
            "hello_per_second": round(hello["rate"]),
            "hello_per_cpu_second": round(hello["rate_cpu"]),
            "hello_p50_ms": round(hello["p50_ms"], 2),
            "xadd_cpu_us": round(xadd * 1e6),
            "copy_rows_per_second": round(copied),
        },
        "ratio": {
            "hits_to_hello_per_cpu_second": round(served["rate_cpu"] / hello["rate_cpu"], 2),
            "hit_cpu_to_bare_xadd": round(1 / served["rate_cpu"] / xadd, 2),
            "flush_to_bare_copy": round(flushed / copied, 2),
        },
    }


def _scene() -> list[str]:
    """Addresses: clicks and opens in turn."""
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERIES, [DeliveryState.SENT, MAILS])
    urls = [
        CountedUrl.objects.create(
            url=f"https://www.example.jp/seminar/2026/program{n}.html", digest=f"{n:064}", name=f"{n}"
        ).pk
        for n in range(LINKS)
    ]
    ids = list(Delivery.objects.order_by("pk").values_list("pk", flat=True))
    paths: list[str] = []
    for number, pk in enumerate(ids):
        paths += [click_url(pk, urls[number % LINKS]), open_url(pk)]
    return [path.removeprefix(settings.BASE_URL) for path in paths]


def _serve(
    application: str,
    paths: list[str],
    hits: int,
    workers: int,
    connections: int,
    environment: dict[str, str],
) -> dict[str, Any]:
    with _gunicorn(application, workers, environment) as (pid, port):
        _ask(port, paths[:200], 200, connections)  # everything is loaded, connections to Redis are open
        before = processes.cpu_seconds_of_family(pid)
        asked = _ask(port, paths, hits - 200, connections)
        cpu = processes.cpu_seconds_of_family(pid) - before
    answers = sum(asked["statuses"].values())
    return asked | {"rate": answers / asked["seconds"], "rate_cpu": answers / cpu}


@contextmanager
def _gunicorn(application: str, workers: int, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """As the Dockerfile starts it. Yields its process and its port; it is gone afterwards."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port = listener.getsockname()[1]
        command = [
            sys.executable, "-m", "gunicorn", f"{application}:application", "--bind", f"fd://{listener.fileno()}",
            "--workers", str(workers), "--threads", "4", "--keep-alive", "5", "--log-level", "warning",
        ]  # fmt: skip
        running = subprocess.Popen(
            command, cwd=_PROJECT, env=os.environ | environment, pass_fds=[listener.fileno()]
        )
    try:
        _wait_until_it_answers(running, port)
        yield running.pid, port
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _wait_until_it_answers(running: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if running.poll() is not None:
            raise RuntimeError("gunicorn did not start; its error stands above")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as asked:
                asked.settimeout(PATIENCE)
                asked.sendall(b"GET /o/nobody HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                if asked.recv(4) == b"HTTP":
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("gunicorn does not answer")


def _ask(port: int, paths: list[str], hits: int, connections: int) -> dict[str, Any]:
    asked = subprocess.run(
        [sys.executable, "-m", "tracking.bench.client", str(port), str(connections), str(hits)],
        input="\n".join(paths), capture_output=True, text=True, cwd=_PROJECT, timeout=600,
    )  # fmt: skip
    if asked.returncode:
        raise RuntimeError(f"the client failed: {asked.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(asked.stdout)
    return answer


def _flush() -> float:
    """Rows a second from the stream into the table; what the spool alone has is sent first."""
    deadline = time.monotonic() + PATIENCE
    spool.settle()
    started, done = time.perf_counter(), 0
    while rows := flush.flush(timezone.now()):
        done += rows
    elapsed = time.perf_counter() - started
    while spool.settle() and time.monotonic() < deadline:
        flush.flush(timezone.now())
    return done / elapsed


def _check(served: dict[str, Any], hits: int) -> None:
    """Figures of hits that were answered otherwise or are not in the table would be worth nothing."""
    stored, refused = MailHit.objects.count(), RefusedHit.objects.count()
    left = len(list(Path(settings.SPOOL_FOLDER).glob("*.hits")))
    if set(served["statuses"]) - {"200", "302"} or stored != hits or refused or left:
        raise RuntimeError(
            f"answers {served['statuses']}, {stored} of {hits} stored, {refused} refused, {left} files left"
        )


def _bare_xadd() -> float:
    """CPU seconds of the client for one hit into a stream."""
    now = timezone.now()
    line = to_bytes(
        Hit(new_uid(now), CLICK, now, "127.0.0.1", "x" * 130, {}, {"delivery_id": 1, "url_id": 1})
    )
    client = stream.client()
    client.xadd(stream.KEY, {b"h": line})
    started, count = time.process_time(), 5000
    for _number in range(count):
        client.xadd(stream.KEY, {b"h": line})
    return (time.process_time() - started) / count


def _bare_copy() -> float:
    """Rows a second of the same rows into a table with the same indexes."""
    with tempfile.TemporaryFile() as file, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_hit (LIKE tracking_mailhit INCLUDING ALL)")
        cursor.copy_expert("COPY tracking_mailhit TO STDOUT", file)
        file.seek(0)
        started = time.perf_counter()
        cursor.copy_expert("COPY bare_hit FROM STDIN", file)
        elapsed = time.perf_counter() - started
        cursor.execute("SELECT count(*) FROM bare_hit")
        return float(cursor.fetchone()[0] / elapsed)
