"""`manage.py bench resolve --leads N`: the one statement that decides (resolve.sql) beside the bare INSERT … SELECT
of the same rows into the same table, with its constraints and indexes."""

import time
from argparse import ArgumentParser
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from leads.models import SavedSearch
from mail.models import MailTemplate, SendJob
from mail.models.send_job import RecipientRule
from mail.recipients.plan import plan_of
from mail.recipients.resolve import expected_counts, resolve
from smp.lib.bench import scratch_database, seconds

HELP = "decide the recipients of one job among N leads"

# About as people are: 2 % share an address, 3 % unsubscribed, 10 % refuse, 3 % invalid, 1 % provisional, 1 % without address.
LEADS = """
INSERT INTO leads_lead (kind, last_name, first_name, last_name_kana, first_name_kana, email, email_norm, email_malformed,
    email_since, company, department, job_title, postal_code, prefecture, address, phone, note, language, registration,
    dm_permission, unsubscribed_at, email_valid, email_failures, extra, created_at, updated_at)
SELECT 'visitor', '髙橋', '𠮷男' || n, 'タカハシ', 'ヨシオ',
    CASE WHEN n %% 100 = 7 THEN '' ELSE address END, CASE WHEN n %% 100 = 7 THEN '' ELSE address END, n %% 1000 = 3,
    now(), '株式会社山手製作所', '生産技術部', '課長', '100-0005', '東京都', '千代田区丸の内1-1-1', '03-0000-0000', '', 'ja',
    CASE WHEN n %% 100 = 13 THEN 'provisional' ELSE 'full' END,
    CASE WHEN n %% 100 BETWEEN 20 AND 32 THEN 'unwanted' ELSE 'wanted' END,
    CASE WHEN n %% 100 BETWEEN 20 AND 22 THEN now() END, n %% 100 NOT BETWEEN 40 AND 42, 0, '{}', now(), now()
FROM generate_series(1, %s) n,
    LATERAL (SELECT 'lead' || CASE WHEN n %% 50 = 49 THEN n - 1 ELSE n END || '@company' || n %% 997 / 2 || '.example.jp') a(address)
"""
EARLIER = """
INSERT INTO mail_delivery (job_id, lead_id, kind, template_id, state, reason, decided_at, address, dm_permission,
    email_valid, registration, attempts, subject, enhanced_status, reply, remote_host, failed_address)
SELECT %s, id, 'wizard', %s, 'sent', '', now(), email, dm_permission, email_valid, registration, 1, '', '', '', '', ''
FROM leads_lead WHERE id %% 20 = 0
"""
BARE = """
INSERT INTO mail_delivery (job_id, lead_id, kind, template_id, state, reason, decided_at, address, dm_permission,
    email_valid, registration, unsubscribed_at, related_id, next_at, attempts, subject, enhanced_status, reply,
    remote_host, failed_address)
SELECT %s, id, 'wizard', %s, CASE WHEN dm_permission = 'wanted' THEN 'queued' ELSE 'excluded' END,
    CASE WHEN dm_permission = 'wanted' THEN '' ELSE 'dm_permission' END, now(), email, dm_permission,
    email_valid, registration, unsubscribed_at, NULL, now(), 0, '', '', '', '', ''
FROM leads_lead
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--leads", type=int, default=1_000_000, metavar="N")
    parser.add_argument(
        "--rounds", type=int, default=2, help="the better of so many rounds counts (default 2)"
    )


def run(options: dict[str, Any]) -> dict[str, Any]:
    with scratch_database():
        template = MailTemplate.objects.create(name="bench", subject="bench", from_address="bench@example.jp")
        earlier = SendJob.objects.create(rule=RecipientRule.BY_SEARCH, template=template)
        search = SavedSearch.objects.create(name="bench", condition={"match": "all", "blocks": []})
        with connection.cursor() as cursor:
            cursor.execute(LEADS, [options["leads"]])
            cursor.execute("VACUUM ANALYZE leads_lead")
        bare, decided, counted, rows = [], [], [], 0
        for _round in range(options["rounds"]):
            job = SendJob.objects.create(
                rule=RecipientRule.BY_SEARCH, template=template, search=search, condition=search.condition
            )
            _empty_ledger(earlier, template)
            started = time.perf_counter()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(BARE, [job.pk, template.pk])
                rows = cursor.rowcount
                cursor.execute("ANALYZE mail_delivery")
            bare.append(time.perf_counter() - started)
            _empty_ledger(earlier, template)
            plan = plan_of(job)
            started = time.perf_counter()
            counts = expected_counts(plan, now=timezone.now())
            counted.append(time.perf_counter() - started)
            started = time.perf_counter()
            with transaction.atomic():
                written = resolve(job, plan, now=timezone.now())
            decided.append(time.perf_counter() - started)
            assert written == rows == counts.in_scope
        return {
            "leads": rows,
            "addressed": counts.addressed,
            "dry_run_seconds": seconds(min(counted)),
            "resolve_seconds": seconds(min(decided)),
            "bare_insert_select_seconds": seconds(min(bare)),
            "ratio": round(min(decided) / min(bare), 2),
        }


def _empty_ledger(earlier: SendJob, template: MailTemplate) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE mail_delivery CASCADE")
        cursor.execute(EARLIER, [earlier.pk, template.pk])
        cursor.execute("ANALYZE mail_delivery")
        cursor.execute("CHECKPOINT")
