"""The bare costs beside which `bench deliver` is read: each part of the work alone, on one core, nothing else running."""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.db import connection, transaction

from leads.models import Lead
from mail.dkim import Key, Signer, generate_private_key, load_private_key
from mail.merge_fields import values_for
from mail.message import Skeleton
from mail.models import SendJob

SAMPLE = 400  # mails
SECONDS = 1.0
BATCH = 100  # rows of one statement

_CLAIM = """
UPDATE mail_delivery SET state = 'claimed', token = %s, lease_until = now() + interval '5 minutes'
WHERE id = ANY(%s)
"""
_INTENT = """
UPDATE mail_delivery d SET state = 'handing_over', snapshot_id = %s, merge_values = g.value::jsonb, subject = 'x',
    sent_at = now(), lease_until = now() + interval '15 minutes'
FROM unnest(%s::bigint[], %s::text[]) AS g(id, value) WHERE d.id = g.id
"""
_RECORD = """
WITH done AS (
    UPDATE mail_delivery SET state = 'sent', code = 40000, reply = '2.0.0 Ok', attempts = 1, result_at = now(),
        first_attempt_at = now(), lease_until = NULL
    WHERE id = ANY(%s) RETURNING id
)
INSERT INTO mail_deliveryevent (delivery_id, at, what, code, enhanced_status, text)
SELECT id, now(), 'sent', 40000, '2.0.0', '2.0.0 Ok' FROM done
"""


@dataclass(frozen=True)
class Sample:
    """Finished mails, and what one of them cost, in µs of one core."""

    mails: list[bytes]
    build: float
    sign: float


def signatures_per_second() -> float:
    """RSA-2048 by OpenSSL, one thread."""
    key = load_private_key(generate_private_key("rsa"))
    assert isinstance(key, rsa.RSAPrivateKey)
    scheme, digest, done = padding.PKCS1v15(), hashes.SHA256(), 0
    started = time.perf_counter()
    while (taken := time.perf_counter() - started) < SECONDS:
        for _time in range(50):
            key.sign(b"x" * 1500, scheme, digest)
        done += 50
    return done / taken


def make_sample(job: SendJob, *, domain: str, sign: bool, now: datetime) -> Sample:
    """Builds and signs the job's first mails as the engine does, without the engine."""
    assert job.snapshot is not None
    skeleton = Skeleton(job.snapshot.content)
    signer = Signer([Key(domain, "bench", "rsa", generate_private_key("rsa"))]) if sign else None
    leads = list(Lead.objects.order_by("id")[:SAMPLE])

    def build(some: list[Lead]) -> list[bytes]:
        values = values_for(some, now=now, names=skeleton.names)
        return [
            skeleton.build(
                values[lead.pk], delivery_id=lead.pk, lead_id=lead.pk, sent_at=now, address=lead.email
            ).data
            for lead in some
        ]

    build(leads[:50])  # what is made once a job
    started = time.process_time()
    mails = build(leads)
    built = time.process_time()
    if signer is not None:
        mails = [signer.sign(data, at=now) + data for data in mails]
    signed = time.process_time()
    each = 1e6 / len(leads)
    return Sample(mails, (built - started) * each, (signed - built) * each)


def smtp_mails_per_second(port: int, mails: Sequence[bytes], *, connections: int, seconds: float) -> float:
    """Finished mails over pipelined connections (the next envelope travels with the dot), by blocking sockets: every
    connection is written to, then every one is read from."""
    envelope = b"MAIL FROM:<b.1.x@bounce.example.jp>\r\nRCPT TO:<a@b.example.jp>\r\nDATA\r\n"
    sessions = [socket.create_connection(("127.0.0.1", port), timeout=30) for _number in range(connections)]
    answers = [session.makefile("rb") for session in sessions]
    try:
        for session, answer in zip(sessions, answers, strict=True):
            session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _expect(answer, b"220")
            session.sendall(b"EHLO bench.example.jp\r\n")
            while answer.readline()[3:4] == b"-":
                pass
            session.sendall(envelope)
            for wanted in (b"250", b"250", b"354"):
                _expect(answer, wanted)
        done, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds:
            for session in sessions:
                session.sendall(mails[done % len(mails)] + b".\r\n" + envelope)
                done += 1
            for answer in answers:
                for wanted in (b"250", b"250", b"250", b"354"):
                    _expect(answer, wanted)
        return done / taken
    finally:
        for session in sessions:
            session.close()


def _expect(answers: Any, wanted: bytes) -> None:
    line = answers.readline()
    if not line.startswith(wanted):
        raise RuntimeError(f"the sink answered {line!r} instead of {wanted.decode()}")


def ledger_microseconds(job: SendJob) -> dict[str, float]:
    """The same three writes on the rows of another job, without what the engine asks beside them (fences, opt-outs,
    states, failures of leads): µs a mail of one connection, the commits included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM mail_delivery WHERE job_id = %s ORDER BY id", [job.pk])
        ids = [row[0] for row in cursor.fetchall()]
    value = '{"姓": "髙橋", "氏名": "髙橋 𠮷男", "会社名": "株式会社山手製作所", "部署名": "生産技術部", "リードID": "1", "配信停止URL": "https://smp.example.jp/u/0000.0000000000000000"}'
    spent = {"claim": 0.0, "intent": 0.0, "record": 0.0}
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        statements: list[tuple[str, str, list[Any]]] = [
            ("claim", _CLAIM, [start, some]),
            ("intent", _INTENT, [job.snapshot_id, some, [value] * len(some)]),
            ("record", _RECORD, [some]),
        ]
        for name, sql, values in statements:
            started = time.perf_counter()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(sql, values)
            spent[name] += time.perf_counter() - started
    return {name: seconds * 1e6 / len(ids) for name, seconds in spent.items()}
