"""Two real connections: leads changing, jobs deciding and workers starting at the same time."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from leads.models import Lead
from mail.job_start import run
from mail.models import Delivery
from mail.recipients.plan import plan_of
from mail.recipients.resolve import resolve
from mail.send_jobs import confirm, create_draft
from tests.factories import make_job, make_lead, make_template

pytestmark = pytest.mark.django_db(transaction=True)
EVERYONE = {"match": "all", "blocks": []}


def in_threads(*functions):
    """Runs the functions at once, each with its own connection; returns their results, raises the first error."""
    results, errors = [None] * len(functions), []
    barrier = threading.Barrier(len(functions))

    def call(index, function):
        try:
            barrier.wait()
            results[index] = function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=call, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def test_leads_changing_while_a_job_decides():
    """TGT-3, TGT-12: every lead is judged by one moment's data: the stored values and the reason always agree."""
    Lead.objects.bulk_create(
        Lead(email=f"{n // 2}@example.jp", email_norm=f"{n // 2}@example.jp") for n in range(2_000)
    )
    job = make_job()
    stop = threading.Event()

    def change():
        turn = 0
        while not stop.is_set():
            turn += 1
            Lead.objects.filter(pk__gte=0).extra(where=["id %% 3 = %s"], params=[turn % 3]).update(
                dm_permission="unwanted" if turn % 2 else "wanted"
            )

    def decide():
        try:
            with transaction.atomic():
                return resolve(job, plan_of(job), now=timezone.now())
        finally:
            stop.set()

    assert in_threads(change, decide)[1] == 2_000
    rows = Delivery.objects.filter(job=job)
    assert rows.count() == 2_000
    assert not rows.filter(reason="dm_permission").exclude(dm_permission="unwanted").exists()
    assert not rows.exclude(reason="dm_permission").filter(dm_permission="unwanted").exists()
    # EXC-3 within the same moment: of two willing leads with one address exactly one is addressed.
    addressed = list(rows.filter(reason="").values_list("address", flat=True))
    assert len(addressed) == len(set(addressed))
    for duplicate in rows.filter(reason="duplicate")[:50]:
        assert rows.get(lead_id=duplicate.related_id).reason == ""


def test_two_jobs_with_one_template_at_once():
    """EXC-2: a person gets the template from one of them."""
    for n in range(50):
        make_lead(f"{n}@example.jp")
    template = make_template()
    now = timezone.now()
    jobs = []
    for _n in range(2):
        job = create_draft(user=None, rule="by_search", template=template, condition=EVERYONE)
        confirm(job, user=None, now=now)
        jobs.append(job)
    in_threads(*(lambda job=job: run(job.pk, now=now) for job in jobs))
    assert Delivery.objects.filter(reason="").count() == 50
    assert Delivery.objects.filter(reason="already_sent").count() == 50


def test_two_workers_start_one_job():
    """RSV-5: the second finds nothing to do."""
    make_lead()
    now = timezone.now()
    job = create_draft(user=None, rule="by_search", template=make_template(), condition=EVERYONE)
    confirm(job, user=None, now=now)
    assert sorted(in_threads(*[lambda: run(job.pk, now=now + timedelta(seconds=1))] * 4)) == [
        False,
        False,
        False,
        True,
    ]
    assert Delivery.objects.filter(job=job).count() == 1


def test_two_admins_confirm_at_once():
    """RSV-5: one of them reserves, by-user decisions are written once."""
    lead = make_lead()
    job = create_draft(user=None, rule="by_user", template=make_template(), lead_ids=[lead.pk])
    now = timezone.now()
    assert sorted(in_threads(*[lambda: confirm(job, user=None, now=now)] * 3)) == [False, False, True]
    assert Delivery.objects.filter(job=job).count() == 1
