"""CSV-1, OPT-2, SYS-3: two administrators, two workers and the recipients themselves at the same import."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from leads.consent import unsubscribe
from leads.imports import commit_import, steps
from leads.imports.steps import cancel, request_commit
from leads.models import Lead, LeadImport
from leads.tasks import run_import
from tests.concurrency.test_resolve_race import in_threads
from tests.factories import make_lead
from tests.leads.importing import check, commit, problems

pytestmark = pytest.mark.django_db(transaction=True)

FILE = "姓,E-mailアドレス\n" + "".join(f"佐藤,taro.{n}@example.jp\n" for n in range(500))


def ask(lead_import):
    return lambda: request_commit(
        LeadImport.objects.get(pk=lead_import.pk), skip_wrong=False, user=None, now=timezone.now()
    )


def test_two_administrators_press_import():
    lead_import = check(FILE)
    assert sorted(in_threads(ask(lead_import), ask(lead_import))) == [False, True]
    in_threads(*[lambda: run_import(lead_import.pk)] * 3)
    lead_import.refresh_from_db()
    assert (lead_import.state, Lead.objects.count()) == ("done", 500)


def test_one_imports_the_other_cancels():
    for _again in range(5):
        lead_import = check(FILE)
        started, cancelled = in_threads(
            ask(lead_import), lambda current=lead_import: cancel(current, user=None)
        )
        assert started != cancelled
        before = Lead.objects.count()
        commit_import(lead_import)
        assert Lead.objects.count() - before == (500 if started else 0)


def test_cancelled_while_it_is_checked(monkeypatch):
    lead_import = steps.upload(
        [FILE.encode()], file_name="a.csv", mode="add", key="id", evidence="import", user=None
    )
    beat = steps.Pulse.beat

    def cancel_first(self, progress):
        in_threads(lambda: cancel(lead_import, user=None))
        beat(self, progress)

    monkeypatch.setattr(steps.Pulse, "beat", cancel_first)
    run_import(lead_import.pk)
    lead_import.refresh_from_db()
    assert (lead_import.state, lead_import.staged_rows.count()) == ("cancelled", 0)


def test_progress_is_seen_from_outside_while_nothing_else_is(monkeypatch):
    lead_import = check(FILE)
    monkeypatch.setattr("leads.imports.write.BATCH", 100)
    seen = []
    beat = steps.Pulse.beat

    def look(self, progress):
        beat(self, progress)
        current = in_threads(lambda: (LeadImport.objects.get(pk=lead_import.pk), Lead.objects.count()))[0]
        seen.append((current[0].state, current[0].progress, current[1]))

    monkeypatch.setattr(steps.Pulse, "beat", look)
    commit(lead_import)
    assert seen[:2] == [("committing", 100, 0), ("committing", 200, 0)]
    assert Lead.objects.count() == 500


def test_somebody_unsubscribes_between_check_and_commit():
    """OPT-2: the commit notices, writes nothing and shows the row as wrong."""
    lead = make_lead(dm_permission="unwanted")
    lead_import = check(f"リードID,DM許可\n{lead.pk},希望する\n", mode="update")
    unsubscribe(lead, evidence="one_click", now=timezone.now())
    commit(lead_import)
    lead.refresh_from_db()
    assert (lead_import.state, problems(lead_import)) == ("checked", [(2, "DM許可", "unsubscribed")])
    assert lead.dm_permission == "unwanted"


def test_somebody_unsubscribes_during_the_commit():
    """OPT-2: whoever comes second waits for the first; either way the person is unsubscribed in the end."""
    lead = make_lead(dm_permission="unwanted")
    lead_import = check(f"リードID,DM許可\n{lead.pk},希望する\n", mode="update")
    request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    held, done = threading.Event(), threading.Event()

    def opt_out():
        with transaction.atomic():
            unsubscribe(Lead.objects.get(pk=lead.pk), evidence="one_click", now=timezone.now())
            held.set()
            with connection.cursor() as cursor:  # until the commit waits for the lead's row
                for _turn in range(200):
                    cursor.execute(
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                    )
                    if cursor.fetchone()[0]:
                        break
                    done.wait(0.02)

    def write():
        held.wait(10)
        commit_import(lead_import)
        done.set()

    in_threads(opt_out, write)
    lead.refresh_from_db()
    lead_import.refresh_from_db()
    assert (lead.unsubscribed_at is not None, lead.dm_permission) == (True, "unwanted")
    assert lead_import.state == "checked"
