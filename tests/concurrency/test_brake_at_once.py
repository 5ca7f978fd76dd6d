"""RATE-2 with several processes: nothing counted is lost, one brake, one mail to the administrators, one release."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from mail.delivery.brake import Tally, braked_domains, count_results, go_on
from mail.models import Delivery, JobDomain
from mail.models.delivery import DeliveryKind
from settings.models import AuditEntry
from tests.factories import make_sending_job, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*actions):
    """Calls them in threads of their own, starting together; their answers in order. What one raises is raised."""
    ready, answers = threading.Barrier(len(actions)), [None] * len(actions)

    def go(place, action):
        try:
            ready.wait(30)
            answers[place] = action()
        except BaseException as error:
            answers[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def test_two_workers_count_the_same_domains():
    """Given in opposite orders, again and again: no deadlock, and every mail is counted."""
    job = make_sending_job("yoshio@docomo.ne.jp")
    domains = [f"d{number:02}.example.jp" for number in range(40)]
    forwards = {domain: Tally(1, 0) for domain in domains}
    backwards = {domain: Tally(1, 0) for domain in reversed(domains)}

    def work(results):
        for _batch in range(25):
            count_results(job.pk, results, now=timezone.now())

    at_once(lambda: work(forwards), lambda: work(backwards), lambda: work(forwards))
    assert set(JobDomain.objects.values_list("sent", "failed")) == {(75, 0)}
    assert JobDomain.objects.count() == 40


def test_two_workers_brake_once():
    make_user()
    job = make_sending_job("yoshio@docomo.ne.jp")

    def work():
        return count_results(job.pk, {"docomo.ne.jp": Tally(0, 100)}, now=timezone.now())

    answers = at_once(work, work, work)
    assert sorted(map(len, answers)) == [0, 0, 1]
    assert AuditEntry.objects.filter(action="job.brake").count() == 1
    assert Delivery.objects.filter(kind=DeliveryKind.ALERT).count() == 1


def test_two_administrators_press_at_once():
    misaki, kenta = make_user("misaki"), make_user("kenta")
    job = make_sending_job("yoshio@docomo.ne.jp")
    count_results(job.pk, {"docomo.ne.jp": Tally(0, 100)}, now=timezone.now())
    answers = at_once(
        lambda: go_on(job, "docomo.ne.jp", user=misaki, now=timezone.now()),
        lambda: go_on(job, "docomo.ne.jp", user=kenta, now=timezone.now()),
    )
    assert sorted(answers) == [False, True]
    (entry,) = AuditEntry.objects.filter(action="job.go_on")
    assert JobDomain.objects.get().released_by == entry.user
    assert braked_domains([job.pk]) == {job.pk: set()}
