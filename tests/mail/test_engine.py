"""The engine as a whole: pooled connections, group intents, slow answers, sites that take their time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from leads.models import Lead
from mail.delivery import agents, engine, routing, site_queues, speed_rules
from mail.delivery.brake import HOLD
from mail.delivery.engine import ALL, deliver
from mail.delivery.intent import intend
from mail.delivery.record import record
from mail.delivery.sites import Site
from mail.delivery.speed_rules import RELAY, forget_speed_rules
from mail.models import Delivery, JobDomain, SendJob
from mail.models.delivery import DeliveryState
from settings.models import DomainRule, Tls
from tests.factories import make_delivery, make_lead, make_sending_job
from tests.sink import Sink

pytestmark = pytest.mark.django_db(transaction=True)


def addresses(number, domain="x.example.jp", name="r"):
    return [f"{name}{n}@{domain}" for n in range(number)]


def send(job=ALL, seconds=30.0):
    return deliver(
        job.pk if isinstance(job, SendJob) else job, until=timezone.now() + timedelta(seconds=seconds)
    )


def states(job):
    return Counter(job.deliveries.values_list("state", flat=True))


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    assert condition()


@pytest.fixture
def relay_rule():
    def make(**values):
        DomainRule.objects.update_or_create(
            key=RELAY, defaults={"name": RELAY, "tls": Tls.NEVER, "connections": 4, **values}
        )
        forget_speed_rules()

    yield make
    forget_speed_rules()


def test_rate_1_no_more_connections_than_the_rule_allows_and_each_carries_many_mails(sink, relay_rule):
    """RATE-1: connections at the same time and mails per connection."""
    relay_rule(connections=3, mails_per_connection=20)
    job = make_sending_job(*addresses(100))
    assert send(job).sent == 100
    assert 5 <= sink.sessions <= 100 / 20 + 3
    assert len({mail["sender"] for mail in sink.mails}) == len(sink.mails) == 100


def test_connections_are_kept_for_the_next_run(sink):
    """One after the other in the same process: the second job finds the session of the first."""
    first, second = make_sending_job("a@x.example.jp"), make_sending_job("b@x.example.jp")
    assert send(first).sent == 1
    assert send(second).sent == 1
    assert sink.sessions == 1


def test_all_jobs_take_turns_and_mails_without_a_job_come_first(sink, relay_rule, monkeypatch):
    """A big mailing does not keep a small one waiting."""
    monkeypatch.setattr("mail.delivery.feeder.BATCH", 40)
    monkeypatch.setattr("mail.delivery.feeder.HELD", 40)
    relay_rule(connections=1)
    big, small = make_sending_job(*addresses(200, name="big")), make_sending_job(*addresses(5, name="small"))
    make_delivery(make_lead("single@x.example.jp"), kind="single", snapshot=big.snapshot)
    outcome = send(ALL)
    assert (outcome.sent, outcome.jobs) == (206, {big.pk, small.pk})
    order = [mail["recipients"][0] for mail in sink.mails]
    assert order.index("single@x.example.jp") < 41
    assert max(order.index(address) for address in addresses(5, name="small")) < 82


def test_intents_of_many_connections_share_a_commit(sink, monkeypatch):
    sizes = []

    def slow(intents):
        sizes.append(len(intents))
        time.sleep(0.05)
        return intend(intents)

    monkeypatch.setattr(engine, "intend", slow)
    job = make_sending_job(*addresses(120))
    assert send(job).sent == 120
    assert max(sizes) > 1
    assert len(sizes) < 120


def test_opt_6_an_intent_that_is_refused_keeps_its_mail_from_the_server(sink):
    """OPT-6: one of those whose envelope was on its way already; the others of its connection go out."""
    job = make_sending_job(*addresses(20))
    Lead.objects.filter(email="r7@x.example.jp").update(
        unsubscribed_at=timezone.now(), dm_permission="unwanted"
    )
    outcome = send(job)
    assert (outcome.sent, outcome.excluded) == (19, 1)
    assert "r7@x.example.jp" not in {mail["recipients"][0] for mail in sink.mails}
    assert job.deliveries.get(address="r7@x.example.jp").reason == "unsubscribed_late"


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        (
            lambda job: Lead.objects.update(unsubscribed_at=timezone.now(), dm_permission="unwanted"),
            ("excluded", "unsubscribed_late"),
        ),
        (lambda job: SendJob.objects.update(state="paused"), ("queued", "")),
        (lambda job: SendJob.objects.update(state="stopped"), ("excluded", "stopped")),
    ],
    ids=["opted out", "paused", "stopped"],
)
def test_opt_6_a_server_that_takes_its_time_does_not_make_the_check_old(
    tmp_path, settings, monkeypatch, change, ends
):
    """OPT-6, RSV-3: between the last look and the dot there is only the network, however long 354 takes."""
    monkeypatch.setattr(agents, "FRESH", 0.5)
    with Sink(tmp_path / "accepted.jsonl", delay=3) as sink:
        settings.RELAY = f"127.0.0.1:{sink.port}"
        job = make_sending_job("a@x.example.jp")
        sender = threading.Thread(target=send, args=(job,))
        sender.start()
        wait_for(lambda: states(job) == {"handing_over": 1})
        change(job)
        sender.join(60)
        engine.shut_down(patience=20)
        row = job.deliveries.get()
        assert (row.state, row.reason, row.sent_at, row.lease_until) == (*ends, None, None)
        assert sink.mails == []


def test_a_mail_that_cannot_be_stored_does_not_take_the_others_with_it(sink, monkeypatch):
    """Neither as an intent nor as a result, and nothing waits for it."""
    job = make_sending_job(*addresses(10))
    odd_intent, odd_result = job.deliveries.order_by("pk").values_list("pk", flat=True)[3:5]

    def intend_but_one(intents):
        if any(one.pk == odd_intent for one in intents):
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        return intend(intents)

    def record_but_one(results):
        if any(one.pk == odd_result for one in results):
            raise DataError("value too long")
        return record(results)

    monkeypatch.setattr(engine, "intend", intend_but_one)
    monkeypatch.setattr(engine, "record", record_but_one)
    assert send(job, seconds=20).sent == 8
    engine.shut_down(patience=5)
    monkeypatch.undo()
    assert states(job) == {"sent": 8, "error": 1, "handing_over": 1}
    assert job.deliveries.get(pk=odd_result).state == "handing_over"  # 結果不明 when its lease is over


def test_results_in_hand_survive_a_database_that_goes_away_between_two_mails(sink, monkeypatch):
    """Whatever else is read beside them."""

    def away():
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(routing, "REFRESHED_EVERY", 0.0)
    monkeypatch.setattr(routing, "retry_plan", away)
    job = make_sending_job(*addresses(5))
    assert send(job).sent == 5


def test_a_server_that_closes_after_some_mails(tmp_path, settings):
    """Yahoo's way: the envelope behind the last verdict is lost, the mail is no attempt poorer and goes out once."""
    with Sink(tmp_path / "accepted.jsonl", close_after=3) as sink:
        settings.RELAY = f"127.0.0.1:{sink.port}"
        job = make_sending_job(*addresses(14))
        assert send(job).sent == 14
        assert len({mail["sender"] for mail in sink.mails}) == len(sink.mails) == 14
        assert set(job.deliveries.values_list("attempts", flat=True)) == {1}
        assert sink.sessions >= 5
        engine.shut_down(patience=10)


def test_a_slow_answer_is_recorded_in_the_background(tmp_path, settings, monkeypatch):
    """The caller does not wait for it; when it comes it is written, and the mail is not sent again meanwhile."""
    monkeypatch.setattr(engine, "DRAIN", 0.2)
    monkeypatch.setattr(engine, "GRACE", 0.2)
    with Sink(tmp_path / "accepted.jsonl", lateness=6) as sink:
        settings.RELAY = f"127.0.0.1:{sink.port}"
        job = make_sending_job("late@x.example.jp")
        outcome = send(job, seconds=1)
        assert (outcome.handled, outcome.more) == (0, True)
        assert job.deliveries.get().state == "handing_over"
        assert send(job, seconds=0.1).handled == 0
        wait_for(lambda: job.deliveries.get().state == "sent")
        assert len(sink.mails) == 1
        engine.shut_down(patience=10)


def test_ending_waits_for_what_is_in_the_air_and_gives_the_rest_back(
    tmp_path, settings, monkeypatch, relay_rule
):
    """Graceful stop: nothing is left claimed, nothing becomes 結果不明."""
    monkeypatch.setattr(engine, "DRAIN", 0.1)
    monkeypatch.setattr(engine, "GRACE", 0.1)
    relay_rule(connections=2)
    with Sink(tmp_path / "accepted.jsonl", lateness=2) as sink:
        settings.RELAY = f"127.0.0.1:{sink.port}"
        job = make_sending_job(*addresses(30, name="late"))
        send(job, seconds=0.5)
        engine.shut_down()
        counted = states(job)
        assert set(counted) == {"sent", "queued"}
        assert counted["sent"] == len(sink.mails)
        assert not job.deliveries.exclude(lease_until=None).exists()


def test_rate_1_mails_that_a_slow_destination_cannot_take_soon_go_back_with_their_turn(sink, relay_rule):
    """RATE-1: neither leases nor the buffer are held by it, no attempt is counted, and the turns are spread."""
    relay_rule(mails_per_minute=60)
    job = make_sending_job(*addresses(80))
    outcome = send(job, seconds=8)
    assert 2 <= outcome.sent < 60
    wait_for(lambda: set(states(job)) == {"sent", "queued"})
    waiting = list(job.deliveries.filter(state="queued").values_list("next_at", "attempts", "lease_until"))
    assert {(attempts, lease) for _at, attempts, lease in waiting} == {(0, None)}


def a_way(**rule):
    site = Site("x", "x", "x", ("x",), 25, replace(speed_rules.DEFAULTS[-1], **rule), relay=False)
    return site_queues.SiteQueue(None, site, "")  # type: ignore[arg-type]


def test_turns_are_spread_by_the_destinations_speed():
    """RATE-1: one after the other, an hour ahead at most."""
    turns = [wait for _mail, wait in a_way(mails_per_minute=60).turns([object()] * 5000)]  # type: ignore[list-item]
    assert turns[:3000] == sorted(turns[:3000])
    assert 0.9 < turns[11] - turns[10] < 1.1
    assert site_queues.LONGEST_WAIT / 2 <= min(turns[4000:]) < max(turns[4000:]) <= site_queues.LONGEST_WAIT


def test_what_is_put_off_finds_the_door_open_at_its_turn():
    """RATE-1: turns given away for an hour to come do not shut out those who come back."""
    site_queue = a_way(mails_per_minute=60)
    site_queue.turns([object()] * 5000)  # type: ignore[list-item]
    assert not site_queue.crowded()


def test_a_destination_that_had_no_mail_for_a_while_is_not_taken_for_a_slow_one(monkeypatch):
    """RATE-1: its speed is what was seen while mail always waited for it."""
    monkeypatch.setattr(site_queues.SiteQueue, "_start_pump", lambda self: None)
    site_queue = a_way(mails_per_minute=None)
    site_queue._busy_since = time.monotonic() - 60
    assert site_queue.rate() < 1
    for _look in range(site_queues.RESTS):
        site_queue.look()
    assert site_queue.rate() == site_queues.ASSUMED_RATE


def test_a_destination_slower_than_its_rule_does_not_fill_the_buffer(monkeypatch):
    """RATE-1: what one site holds is reckoned from what it really takes."""
    monkeypatch.setattr(site_queues.SiteQueue, "_start_pump", lambda self: None)
    site_queue = a_way(mails_per_minute=6000)
    site_queue.put([SimpleNamespace(row=SimpleNamespace(job_id=1))] * 500)  # type: ignore[list-item]
    site_queue.look()
    assert (site_queue.rate(), site_queue.crowded()) == (100, False)
    site_queue._busy_since = time.monotonic() - 60
    site_queue.handed_over(20)
    assert (site_queue.rate(), site_queue.crowded()) == (2, True)


def test_single_mails_do_not_wait_behind_a_mailing(monkeypatch):
    site_queue = a_way()
    monkeypatch.setattr(site_queue, "_start_pump", lambda: None)
    mails = [
        SimpleNamespace(row=SimpleNamespace(job_id=job), name=name)
        for job, name in ((1, "a"), (None, "b"), (1, "c"), (None, "d"))
    ]
    site_queue.put(mails)  # type: ignore[arg-type]
    assert [mail.name for mail in site_queue.waiting] == ["b", "d", "a", "c"]  # type: ignore[attr-defined]


def test_rate_2_mails_of_a_braked_domain_go_back_unsent(sink):
    """RATE-2: until somebody lets the job go on there; the job's other domains go on."""
    job = make_sending_job("a@braked.example.jp", "b@x.example.jp")
    JobDomain.objects.create(job=job, domain="braked.example.jp", failed=200, braked_at=timezone.now())
    assert send(job).sent == 1
    row = job.deliveries.get(address="a@braked.example.jp")
    assert (row.state, row.attempts, row.lease_until) == ("queued", 0, None)
    assert row.next_at > timezone.now() + timedelta(seconds=HOLD / 2)


def test_rate_2_what_waits_for_a_connection_when_its_domain_is_braked_goes_back(
    tmp_path, settings, relay_rule
):
    """RATE-2: the mails a process holds already do not all go out."""
    relay_rule(connections=1)
    with Sink(tmp_path / "accepted.jsonl", delay=0.2) as sink:
        settings.RELAY = f"127.0.0.1:{sink.port}"
        job = make_sending_job(*addresses(60, domain="braked.example.jp"))
        sender = threading.Thread(target=send, args=(job,))
        sender.start()
        wait_for(lambda: len(sink.mails) >= 2)
        JobDomain.objects.update_or_create(
            job=job, domain="braked.example.jp", defaults={"failed": 200, "braked_at": timezone.now()}
        )
        sender.join(60)
        engine.shut_down(patience=10)
        assert len(sink.mails) < 60
        assert states(job) == {"sent": len(sink.mails), "queued": 60 - len(sink.mails)}
        assert job.deliveries.filter(state="queued").earliest("next_at").next_at > timezone.now()


def test_rate_2_results_are_counted_by_domain(sink):
    """RATE-2: what came back, by job and receiving domain; failures at once, successes a moment later."""
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", "rcpt550@x.example.jp", "c@y.example.jp")
    send(job)
    engine.shut_down(patience=10)
    counted = {row.domain: (row.sent, row.failed) for row in JobDomain.objects.all()}
    assert counted == {"x.example.jp": (2, 1), "y.example.jp": (1, 0)}


def test_err_5_a_failure_has_its_cause(sink):
    """ERR-5: stored with the error; a mail that waits has none yet."""
    job = make_sending_job("rcpt550@x.example.jp", "rcpt451@x.example.jp")
    send(job)
    causes = dict(job.deliveries.values_list("state", "cause"))
    assert causes == {"error": "no_mailbox", "deferred": ""}


def test_err_3_the_destinations_own_interval(sink, relay_rule):
    """ERR-3: settable per destination, behind a relay too."""
    DomainRule.objects.create(
        name="quick", domains=["x.example.jp"], retry_interval_minutes=5, retry_period_hours=2
    )
    relay_rule()
    job = make_sending_job("rcpt451@x.example.jp")
    send(job)
    row = job.deliveries.get()
    assert timedelta(minutes=4) < row.next_at - row.first_attempt_at < timedelta(minutes=6)
    job.deliveries.update(first_attempt_at=timezone.now() - timedelta(hours=3), next_at=timezone.now())
    send(job)
    assert job.deliveries.get().code == 41606


def test_two_callers_of_one_process_wait_for_each_other(sink):
    first, second = make_sending_job(*addresses(20, name="a")), make_sending_job(*addresses(20, name="b"))
    outcomes = []
    callers = [threading.Thread(target=lambda job=job: outcomes.append(send(job))) for job in (first, second)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert [outcome.sent for outcome in outcomes] == [20, 20]
    assert len(sink.mails) == 40


@pytest.mark.faults
def test_sigterm_to_a_worker_while_the_receiver_answers_slowly(tmp_path, settings):
    """A real `manage.py worker`: the mails in the air are recorded, the claims given back, nothing is 結果不明."""
    values = connection.settings_dict
    who = f"{quote(values['USER'])}:{quote(values['PASSWORD'])}"
    url = f"postgresql://{who}@/{values['NAME']}?host={quote(values['HOST'])}"
    with Sink(tmp_path / "accepted.jsonl", lateness=3) as sink:
        environment = os.environ | {
            "SMP_RELAY": f"127.0.0.1:{sink.port}",
            "DATABASE_URL": url + (f"&port={values['PORT']}" if values["PORT"] else ""),
            "REDIS_URL": settings.REDIS_URL.rpartition("/")[0] + "/7",
        }
        job = make_sending_job(*addresses(100, name="late"))
        manage = [sys.executable, "manage.py"]
        worker = subprocess.Popen(
            [*manage, "worker", "--concurrency", "2"], env=environment, cwd=settings.BASE_DIR
        )
        try:
            hint = "from mail.hints import hint; hint('mail.tasks.deliver_job')"
            subprocess.run([*manage, "shell", "-c", hint], env=environment, cwd=settings.BASE_DIR, check=True)
            wait_for(lambda: job.deliveries.filter(state=DeliveryState.HANDING_OVER).exists(), 60)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
            worker.wait()
        counted = states(job)
        assert set(counted) == {"sent", "queued"}
        assert counted["sent"] == len(sink.mails) >= 1
        assert not Delivery.objects.exclude(lease_until=None).exists()
