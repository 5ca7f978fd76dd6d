"""CSV-1, SYS-3: a worker killed with -9 in the middle of a check or a commit leaves nothing or everything."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.utils import timezone

from leads.imports.steps import imports_to_take_up, request_commit, upload
from leads.models import ConsentRecord, Lead, LeadImport, LeadImportRow
from leads.tasks import run_import
from settings.models import AuditEntry
from tests.leads.importing import check

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

ROWS = 3_000
FILE = "姓,E-mailアドレス\n" + "".join(f"佐藤,taro.{n}@example.jp\n" for n in range(ROWS))

# A real worker's process, which stops at its second heartbeat so that the kill always hits the middle.
WORKER = """
import sys, time
import django
django.setup()
from leads.imports import stage, steps, write
from leads.tasks import run_import
stage.BATCH = write.BATCH = 1000
beat = steps.Pulse.beat
beats = []
def slow(self, progress):
    beat(self, progress)
    beats.append(progress)
    if len(beats) == 2:
        print("in the middle", flush=True)
        time.sleep(600)
steps.Pulse.beat = slow
run_import(int(sys.argv[1]))
"""


def kill_in_the_middle(lead_import_id):
    parts = urlsplit(os.environ["DATABASE_URL"])
    url = urlunsplit(parts._replace(path="/" + connection.settings_dict["NAME"]))
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(lead_import_id)],
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "smp.settings"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert worker.stdout.readline() == "in the middle\n"
        seen = LeadImport.objects.get(pk=lead_import_id)
        # Somebody else cannot get in while it lives.
        run_import(lead_import_id)
        assert LeadImport.objects.get(pk=lead_import_id).state == seen.state
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # until the server has noticed and rolled back
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            if cursor.fetchone()[0] == 0:
                return seen
        time.sleep(0.05)
    raise AssertionError("the killed worker's transaction is still open")


def test_killed_while_committing():
    lead_import = check(FILE)
    request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    for _twice in range(2):
        seen = kill_in_the_middle(lead_import.pk)
        assert (seen.state, 0 < seen.progress < ROWS) == ("committing", True)
        assert (Lead.objects.count(), ConsentRecord.objects.count(), AuditEntry.objects.count()) == (0, 0, 0)
    assert imports_to_take_up(timezone.now()) == []
    assert imports_to_take_up(timezone.now() + timedelta(seconds=61)) == [(lead_import.pk, "committing")]
    run_import(lead_import.pk)
    lead_import.refresh_from_db()
    assert lead_import.state == "done"
    assert (Lead.objects.count(), ConsentRecord.objects.count(), AuditEntry.objects.count()) == (
        ROWS,
        ROWS,
        1,
    )


def test_killed_while_checking():
    lead_import = upload(
        [FILE.encode()], file_name="a.csv", mode="add", key="id", evidence="import", user=None
    )
    seen = kill_in_the_middle(lead_import.pk)
    assert (seen.state, 0 < seen.progress < ROWS, LeadImportRow.objects.count()) == ("checking", True, 0)
    run_import(lead_import.pk)
    lead_import.refresh_from_db()
    assert (lead_import.state, lead_import.counts["new"], LeadImportRow.objects.count()) == (
        "checked",
        ROWS,
        ROWS,
    )
