"""`manage.py bench import`: a CSV of invented leads through upload, check and commit, beside the bare cost of the same work.

Bare means: the same bytes through Python's csv module, COPY of them into a table of text columns, and one INSERT …
SELECT of the same rows into copies of the two tables that an import fills, with their indexes and constraints.
"""

import csv
import io
import resource
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.utils import timezone

from leads.imports.steps import commit_import, request_commit, stage_import, upload
from leads.models import Lead, LeadImport
from smp.lib.bench import scratch_database, seconds

HELP = "CSV import: rows per second from upload to commit"

HEADER = (
    "姓",
    "名",
    "姓(カナ)",
    "名(カナ)",
    "E-mailアドレス",
    "会社名",
    "部署名",
    "役職",
    "郵便番号",
    "都道府県",
    "電話番号",
    "DM許可",
)
_FAMILY = ("佐藤", "鈴木", "髙橋", "田中", "伊藤", "渡邉", "山﨑", "中村", "小林", "𠮷田")
_GIVEN = ("美咲", "健太", "結衣", "翔", "陽子", "大輔", "さくら", "誠", "直樹", "恵")
_PREFECTURES = ("東京都", "神奈川県", "大阪府", "愛知県", "北海道", "福岡県", "京都府")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument(
        "--mode",
        choices=LeadImport.Mode.values,
        default="add",
        help="update: the same people again, by address, every company changed",
    )


def run(options: dict[str, Any]) -> dict[str, Any]:
    rows = max(1, options["rows"])
    data = b"".join(csv_file(rows))
    with scratch_database():
        bare = _bare(data)
        if options["mode"] == LeadImport.Mode.UPDATE:
            before = upload([data], file_name="b.csv", mode="add", key="id", evidence="import", user=None)
            stage_import(before)
            before.refresh_from_db()
            request_commit(before, skip_wrong=False, user=None, now=timezone.now())
            commit_import(before)
            data = data.replace("サンプル".encode(), "見本".encode())
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE leads_lead")
        started = time.perf_counter()
        lead_import = upload(
            [data], file_name="bench.csv", mode=options["mode"], key="email", evidence="import", user=None
        )
        uploaded = time.perf_counter()
        stage_import(lead_import)
        checked = time.perf_counter()
        lead_import.refresh_from_db()
        request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
        commit_import(lead_import)
        done = time.perf_counter()
        lead_import.refresh_from_db()
        written = Lead.objects.count()
        if lead_import.state != LeadImport.State.DONE or written != rows:
            raise RuntimeError(
                f"{written} of {rows} leads were written: {lead_import.state} {lead_import.error}"
            )
    total, bare_total = done - started, sum(bare.values())
    return {
        "rows": rows,
        "mode": options["mode"],
        "megabytes": round(len(data) / 1e6, 1),
        "rows_per_second": round(rows / total),
        "seconds": {
            "upload": seconds(uploaded - started),
            "check": seconds(checked - uploaded),
            "commit": seconds(done - checked),
            "total": seconds(total),
        },
        "bare_seconds": {name: seconds(value) for name, value in bare.items()}
        | {"total": seconds(bare_total)},
        "ratio_to_bare": round(total / bare_total, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def csv_file(rows: int) -> Iterator[bytes]:
    """Invented people, UTF-8: one in fifty with an address that needs more than a glance."""
    yield (",".join(HEADER) + "\r\n").encode()
    for start in range(0, rows, 10_000):
        lines = []
        for n in range(start, min(start + 10_000, rows)):
            domain = "docomo.ne.jp" if n % 50 == 0 else f"company{n % 997}.example.jp"
            local = f"taro..{n}" if n % 50 == 0 else f"taro.{n}"
            lines.append(
                f"{_FAMILY[n % 10]},{_GIVEN[n // 10 % 10]},サトウ,ミサキ,{local}@{domain},株式会社サンプル{n % 997},営業部,"
                f"{'課長' if n % 7 == 0 else ''},{n % 1000:03}-{n % 10000:04},{_PREFECTURES[n % 7]},03-0000-{n % 10000:04},"
                f"{'希望しない' if n % 9 == 0 else '希望する'}\r\n"
            )
        yield "".join(lines).encode()


def _bare(data: bytes) -> dict[str, float]:
    columns = ", ".join(f"c{number}" for number in range(len(HEADER)))
    started = time.perf_counter()
    for _row in csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")):
        pass
    parsed = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bare_file ({columns.replace(',', ' text,')} text)")
        cursor.copy_expert(
            f"COPY bare_file FROM STDIN WITH (FORMAT csv, HEADER, FORCE_NOT_NULL ({columns}))",
            io.BytesIO(data),
        )
        copied = time.perf_counter()
        cursor.execute("CREATE TABLE bare_lead (LIKE leads_lead INCLUDING ALL)")
        cursor.execute("CREATE TABLE bare_consent (LIKE leads_consentrecord INCLUDING ALL)")
        prepared = time.perf_counter()
        cursor.execute(_BARE_INSERT)
        inserted = time.perf_counter()
        cursor.execute("DROP TABLE bare_file, bare_lead, bare_consent")
    return {"parse": parsed - started, "copy": copied - parsed, "insert": inserted - prepared}


_BARE_INSERT = """
    WITH made AS (
        INSERT INTO bare_lead (kind, last_name, first_name, last_name_kana, first_name_kana, email, email_norm,
            email_malformed, email_since, company, department, job_title, postal_code, prefecture, address, phone, note,
            language, registration, dm_permission, email_valid, email_failures, extra, created_at, updated_at, search_text)
        SELECT 'visitor', c0, c1, c2, c3, c4, lower(c4), FALSE, now(), c5, c6, c7, c8, c9, '', c10, '', 'ja', 'full',
            CASE c11 WHEN '希望する' THEN 'wanted' ELSE 'unwanted' END, TRUE, 0, '{}', now(), now(),
            lower(c0 || c1 || ' ' || c2 || c3 || ' ' || c5 || ' ' || c4)
        FROM bare_file RETURNING id, dm_permission
    )
    INSERT INTO bare_consent (lead_id, at, change, evidence, source)
    SELECT id, now(), CASE dm_permission WHEN 'wanted' THEN 'granted' ELSE 'refused' END, 'import', 'bench.csv' FROM made
"""
