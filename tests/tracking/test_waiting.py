"""`manage.py doctor` says what waits, and what is wrong with it; `manage.py flush_hits` does the worker's work by hand."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from smp import doctor
from tests.tracking.test_spool import hit
from tracking import spool, stream
from tracking.models import MailHit, RefusedHit

pytestmark = pytest.mark.django_db


def check(**after):
    return doctor.check_hits(now=timezone.now() + timedelta(**after))


def run(*options):
    out = StringIO()
    call_command("flush_hits", "--json", *options, stdout=out)
    return json.loads(out.getvalue())


def test_hits_that_wait_are_counted_and_are_wrong_after_minutes():
    assert check().state == "ok"
    spool.keep(hit())
    seen = check()
    assert seen.state == "ok" and seen.text.startswith(("1 wait in Redis, 1 files", "Redisで保存待ち1件"))
    assert check(minutes=6).state == "wrong"


def test_lost_and_refused_hits_are_named():
    RefusedHit.objects.create(digest="0" * 64, data=b"x", reason="no hit", at=timezone.now())
    assert check().state == "warning"
    stream.client().set(spool.LOST_KEY, 3)
    assert check().state == "wrong" and "3" in check().text


def test_a_spool_that_cannot_be_read_is_wrong(settings):
    Path(settings.SPOOL_FOLDER).write_text("")
    assert check().state == "wrong"


def test_the_command_stores_what_waits():
    spool.keep(hit())
    assert run() == {"stored": 1, "refused": 0}
    assert MailHit.objects.count() == 1
    RefusedHit.objects.create(digest="0" * 64, data=b"x", reason="no hit", at=timezone.now())
    assert run("--refused") == {"stored": 0, "refused": 1}


def test_the_command_says_that_redis_is_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="Redis does not answer"):
        run()
