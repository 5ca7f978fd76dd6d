"""Two real connections at once: claims never share a row, sweepers and holders never both win."""

from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mail.delivery.claim import claim
from mail.delivery.intent import Intent, intend
from mail.delivery.sweep import sweep
from mail.models import Delivery, SendJob
from tests.connections import Other
from tests.factories import make_sending_job

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_claimers_never_share_a_row():
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(120)])
    together = Barrier(2)

    def take_all():
        taken = []
        together.wait(10)
        while rows := claim(job.pk, 7):
            taken += [(row.pk, row.token) for row in rows]
        return taken

    with Other() as first, Other() as second:
        one, two = first.start(take_all), second.start(take_all)
        ids = [pk for pk, _token in one.result(30)] + [pk for pk, _token in two.result(30)]
        assert len(ids) == len(set(ids)) == 120
        assert not {token for _pk, token in one.result()} & {token for _pk, token in two.result()}


def test_a_claimer_does_not_wait_for_rows_another_one_is_taking():
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    with Other() as other, transaction.atomic():
        [mine] = claim(job.pk, 1)  # not committed yet
        [theirs] = other.run(lambda: claim(job.pk, 10))
        assert mine.pk != theirs.pk


def test_two_sweepers_at_once():
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(60)])
    claim(job.pk, 60)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    together = Barrier(2)

    def sweep_now():
        together.wait(10)
        return sweep().total

    with Other() as first, Other() as second:
        totals = first.start(sweep_now), second.start(sweep_now)
        assert sum(total.result(30) for total in totals) == 60
    assert sum(row.events.count() for row in job.deliveries.all()) == 60


def test_a_sweeper_passes_over_a_row_whose_intent_is_being_committed():
    """The intent makes the lease longer; a sweeper that saw the old one must look again."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 1)
    intent = Intent(row.pk, row.token, job.snapshot_id, "{}", "", timezone.now(), row.address)
    with Other() as other:
        swept = []

        def sweep_in_between(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if "'handing_over', snapshot_id" in sql:
                swept.append(other.run(sweep))
            return result

        with connection.execute_wrapper(sweep_in_between):
            assert intend([intent]) == {row.pk}
    assert [one.total for one in swept] == [0]
    assert Delivery.objects.get().state == "handing_over"


def test_rsv_3_stop_while_a_batch_is_being_claimed():
    """RSV-3: whichever comes first, a stopped job's mail gets no intent."""
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(20)])
    together = Barrier(2)

    def stop():
        together.wait(10)
        SendJob.objects.update(state="stopped")

    with Other() as other:
        stopping = other.start(stop)
        together.wait(10)
        rows = claim(job.pk, 20)
        stopping.result(10)
        assert (
            intend(
                [Intent(r.pk, r.token, job.snapshot_id, "{}", "", timezone.now(), r.address) for r in rows]
            )
            == set()
        )
