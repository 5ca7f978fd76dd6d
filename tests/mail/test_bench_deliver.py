"""`manage.py bench deliver` with a few mails: what it counts must be true. How fast it was is nobody's promise here."""

import json
import shutil
import socket

import pytest
from django.core.management import call_command
from django.db import connection

from mail.bench import bare, processes
from mail.bench.sink import SinkProcess
from mail.models import Delivery

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
COMPILED = [pytest.param(True, marks=needs_compiler), False]


@pytest.fixture(params=COMPILED, ids=lambda compiled: "compiled" if compiled else "python")
def sink(request, tmp_path):
    with SinkProcess(tmp_path, delay_ms=0, compiled=request.param) as running:
        yield running


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("sign", "workers", "more"),
    [("none", 2, ["--python-sink"]), pytest.param("rsa2048", 1, ["--delay-ms", "5"], marks=needs_compiler)],
)
def test_every_mail_is_built_delivered_and_counted(capfd, sign, workers, more):
    home = connection.settings_dict["NAME"]
    options = ["--messages", "60", "--workers", str(workers), "--connections", "2", "--sign", sign, *more]
    call_command("bench", "deliver", *options, "--json")
    figures = json.loads(capfd.readouterr().out)
    assert (figures["messages"], figures["taken_by_sink"], figures["workers"]) == (60, 60, workers)
    assert figures["signed"] == (60 if sign == "rsa2048" else 0)
    assert figures["connections"] >= 1
    assert 10_000 < figures["bytes_per_mail"] < 40_000
    assert figures["mails_per_second"] == pytest.approx(60 / figures["seconds"], rel=0.05)
    assert figures["ratio"]["to_bare_smtp"] == pytest.approx(
        figures["mails_per_second"] / figures["bare"]["smtp_mails_per_second"], abs=0.002, rel=0.05
    )
    assert set(figures["worker_memory_mb"]) == {"at_10_percent", "at_50_percent", "at_100_percent"}
    assert (connection.settings_dict["NAME"], Delivery.objects.count()) == (home, 0)


def talk(port, *flights):
    """The answers to each flight, as the sink sends them; the last until it closes."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as session,
        session.makefile("rb") as answers,
    ):
        codes = [answers.readline()[:3]]
        for number, (flight, lines) in enumerate(flights):
            session.sendall(flight)
            last = number == len(flights) - 1
            got = answers.readlines() if last else [answers.readline() for _line in range(lines)]
            codes += [line[:3] for line in got if line[3:4] == b" "]
    return b" ".join(codes).decode()


ENVELOPE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"


def test_the_sink_takes_pipelined_mails_and_ends_them_at_the_dot_only(sink):
    bodies = [
        b"a\r\n..\r\n.b\r\n",
        b"",
        b"\n.\n \r.\r\r\n",
        b"DKIM-Signature: x\r\n" + b"y." * 90_000 + b"\r\n",
    ]
    flights = [(b"EHLO x\r\n", 6), (ENVELOPE, 3)]
    flights += [(body + b".\r\n" + ENVELOPE, 4) for body in bodies]
    flights += [(b".\r\nNOOP\r\nQUIT\r\n", 0)]
    codes = talk(sink.port, *flights)
    assert codes == "220 250 250 250 354" + " 250 250 250 354" * 4 + " 250 250 221"
    taken = sink.taken()
    assert (taken.mails, taken.signed, taken.errors, taken.connections) == (5, 1, 0, 1)
    assert taken.bytes == sum(map(len, bodies))


def test_the_sink_takes_a_mail_byte_by_byte(sink):
    data = b"a\r\n.b\r\n\r.\r\n\r\n.\r\n"
    flights = [(bytes([byte]), 0) for byte in b"EHLO x\r\n" + ENVELOPE + data]
    assert talk(sink.port, *flights, (b"QUIT\r\n", 0)).endswith("354 250 221")
    assert (sink.taken().mails, sink.taken().bytes) == (1, len(data) - 3)


@pytest.mark.parametrize(
    "command", [ENVELOPE, b"EHLO x\r\nRCPT TO:<c@d>\r\n", b"EHLO x\r\nDATA\r\n", b"WHAT\r\n"]
)
def test_commands_out_of_order_are_refused_and_counted(sink, command):
    assert " 50" in talk(sink.port, (command + b"QUIT\r\n", 0))
    assert sink.taken().mails == 0
    assert sink.taken().errors > 0


def test_the_bare_smtp_loop_hands_over_what_it_counts(sink):
    mails = [b"From: a@b.example.jp\r\n\r\nx\r\n"]
    assert bare.smtp_mails_per_second(sink.port, mails, connections=3, seconds=0.2) > 0
    taken = sink.taken()
    assert (taken.connections, taken.errors) == (3, 0)
    assert taken.bytes == taken.mails * len(mails[0])


def test_processes_are_read_from_proc(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = processes.postmaster(cursor.fetchone()[0])
    assert server is not None
    assert processes.cpu_seconds_of_family(server) > 0
    assert processes.postmaster(processes.parent_of(server) or 1) is None
    assert (processes.cpu_seconds(2**22 + 1), processes.resident_mb(2**22 + 1)) == (0.0, 0.0)
