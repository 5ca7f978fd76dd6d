"""RATE-1, RATE-3: rate, connections, slowed sites and warm-up on a real Redis; without it the slow side."""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from time import monotonic

import pytest
import redis

from mail.delivery import scripts, sources, throttle
from mail.delivery.sites import Site
from mail.delivery.slowed import RedisAway, release_site, slowed_sites
from mail.delivery.speed_rules import SpeedRule
from mail.delivery.throttle import PREFIX, Throttle
from mail.smtp.replies import parse_reply
from settings.models import SourceIp
from smp.embedded import _free_port, redis_binary

pytestmark = pytest.mark.django_db(transaction=True)

TOO_FAST = parse_reply([b"450 4.7.1 You are sending too many messages"])
TOO_MANY = parse_reply([b"421 4.7.0 Too many concurrent connections"])
BLOCKED = parse_reply([b"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"])
NOON = datetime(2026, 11, 22, 3, tzinfo=UTC)  # 12:00 in Tokyo


class OwnRedis:
    def __init__(self, folder):
        self.folder, self.port = folder, _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.client = redis.Redis(port=self.port, socket_timeout=10, decode_responses=True)
        deadline = monotonic() + 20
        while monotonic() < deadline:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                continue
        raise AssertionError("Redis did not start")

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory):
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def store(own_redis, settings):
    own_redis.client.flushall()
    settings.REDIS_URL = own_redis.url
    settings.MAIL_DOMAIN = "mail.example.jp"
    sources.forget_sources()
    yield own_redis
    sources.forget_sources()


def site(key="general", **rule):
    return Site(
        key, key.title(), key, ("mx.example.jp",), 25, SpeedRule(key, key.title(), **rule), key == "relay"
    )


def run(act, **options):
    """`act(throttle)` in a loop of its own."""

    async def inside():
        one = Throttle(**options)
        try:
            return await act(one)
        finally:
            await one.close()

    return asyncio.run(inside())


def test_without_a_rate_everything_is_granted_at_once(store):
    async def act(one):
        return await one.admit(site(), "default", 5000)

    admission = run(act)
    assert (admission.source, admission.helo, admission.granted) == ("", "mail.example.jp", 5000)


def test_a_rate_grants_its_burst_and_then_says_how_long_to_wait(store):
    slow = site(mails_per_minute=60)

    async def act(one):
        return [await one.admit(slow, "default", 10), await one.admit(slow, "default", 10)]

    first, second = run(act)
    assert first.granted == 2
    assert second.granted == 0
    assert 0 < second.wait <= 1


def test_granted_mails_never_exceed_rate_and_burst_over_several_processes(store):
    fast = site(mails_per_minute=1200)
    begun = monotonic()

    def work(_number):
        async def act(one):
            granted = 0
            while monotonic() < begun + 2:
                admission = await one.admit(fast, "default", 7)
                granted += admission.granted
                if not admission.granted:
                    await asyncio.sleep(min(admission.wait, 0.1))
            return granted

        return run(act)

    with ThreadPoolExecutor(4) as pool:
        granted = sum(pool.map(work, range(4)))
    passed = monotonic() - begun
    assert 20 <= granted <= 20 * passed + 40 + 1


CONNECTS = """
import asyncio, sys
import django
django.setup()
from mail.delivery.sites import Site
from mail.delivery.speed_rules import SpeedRule
from mail.delivery.throttle import Throttle

async def main():
    one = Throttle(sys.argv[1])
    site = Site("general", "", "general", ("mx",), 25, SpeedRule("general", "", connections=5), False)
    got = [await one.connect(site, "") for _ in range(4)]
    print(sum(permit is not None for permit in got), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def others(store):
    """Three other processes that want four connections each, of five."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "smp.settings"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CONNECTS, store.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]  # fmt: skip

    def kill():
        for process in processes:
            process.kill()
            process.wait()

    yield sum(int(process.stdout.readline()) for process in processes), kill
    kill()
    for process in processes:
        process.stdin.close()
        process.stdout.close()


async def connect_one(one):
    return await one.connect(site(connections=5), "")


def test_connections_are_counted_over_processes_and_free_again_when_they_are_killed(others):
    taken, kill = others
    assert taken == 5
    assert run(connect_one) is None
    kill()
    assert run(connect_one) is not None


def test_connections_of_other_machines_end_with_their_leases(store, others, monkeypatch):
    """A killed process of another machine cannot be seen from here."""
    _taken, kill = others
    kill()
    monkeypatch.setattr(throttle, "_machine", lambda: "another machine")
    assert run(connect_one) is None
    key = f"{PREFIX}general|:open"
    assert store.client.zcard(key) == 5
    assert 0 < store.client.ttl(key) <= throttle.LEASE + 60
    for token in store.client.zrange(key, 0, -1):
        store.client.zadd(key, {token: 1})  # their end, brought forward
    assert run(connect_one) is not None


def test_a_connection_given_back_is_free_again(store):
    async def act(one):
        permits = [await one.connect(site(connections=2), "") for _ in range(3)]
        await one.disconnect(permits[0])
        await one.disconnect(permits[0])
        return permits, await one.connect(site(connections=2), "")

    permits, again = run(act)
    assert [permit is not None for permit in permits] == [True, True, False]
    assert again is not None
    assert store.client.zcard(f"{PREFIX}general|:open") == 0


def test_leases_are_renewed_and_survive_a_flush(store):
    async def act(one):
        permit = await one.connect(site(connections=1), "")
        store.client.flushall()
        await one.renew([permit])
        other = Throttle(store.url)
        try:
            return await other.connect(site(connections=1), "")
        finally:
            await other.close()

    assert run(act) is None


def test_too_fast_halves_the_rate_once_for_all_that_hear_it_and_is_shown(store):
    """Several mails in the air hear the same complaint."""
    steady = site("docomo", mails_per_minute=600)

    async def act(one):
        for _ in range(5):
            await one.complained(steady, "", TOO_FAST)
        return [await one.admit(steady, "default", 100), await one.admit(steady, "default", 100)]

    first, second = run(act)
    assert first.granted == 20  # the burst
    assert second.wait > 0
    (slowed,) = slowed_sites()
    assert (slowed.key, slowed.label, slowed.source, slowed.stopped_until) == ("docomo", "Docomo", "", None)
    assert 0.5 <= slowed.factor < 0.6
    assert slowed.reason == "450 4.7.1 You are sending too many messages"
    assert slowed.since < slowed.until


def test_an_unlimited_site_gets_a_rate_when_it_complains(store):
    async def act(one):
        before = await one.admit(site(), "default", 1000)
        await one.complained(site(), "", TOO_FAST)
        return before.granted, (await one.admit(site(), "default", 1000)).granted

    assert run(act) == (1000, 20)


def test_too_many_connections_lowers_the_connections(store):
    async def act(one):
        await one.complained(site(connections=4), "", TOO_MANY)
        return [await one.connect(site(connections=4), "") is not None for _ in range(4)]

    assert run(act) == [True, True, False, False]


def test_however_often_a_site_complains_something_still_goes(store):
    async def act(one):
        for _ in range(30):
            await one.complained(site(mails_per_minute=600), "", TOO_FAST)
            store.client.hset(f"{PREFIX}general|:slowed", "heard", "1")
        return await one.admit(site(mails_per_minute=600), "default", 10), await one.connect(site(), "")

    admission, permit = run(act)
    assert admission.granted > 0
    assert permit is not None
    assert 1 / 64 <= slowed_sites()[0].factor < 0.1


def test_recovery_is_gradual_and_faster_while_mails_are_taken(store):
    key = f"{PREFIX}general|:slowed"

    def earlier(seconds):
        store.client.hset(key, "at", str(float(store.client.hget(key, "at")) - seconds))

    async def complain(one):
        await one.complained(site(), "", TOO_FAST)

    async def well(one):
        one._slowed.add(("general", ""))
        await one.went_well(site(), "", 1)

    run(complain)
    earlier(900)
    assert slowed_sites()[0].factor == pytest.approx(0.625, abs=0.01)
    earlier(60)
    run(well)
    faster = slowed_sites()[0].factor
    assert faster == pytest.approx(0.625 + 60 / 7200 * 5, abs=0.01)
    earlier(7200)
    run(well)
    assert slowed_sites() == []
    assert store.client.exists(key) == 0


def test_a_process_that_did_not_hear_the_complaint_helps_the_site_to_recover(store):
    """Restarted since, or another worker."""

    async def complain(one):
        await one.complained(site(), "", TOO_MANY)

    async def take_mails(one):
        await one.admit(site(), "default", 1)
        await one.went_well(site(), "", 1)

    run(complain)
    before = float(store.client.hget(f"{PREFIX}general|:slowed", "connections"))
    run(take_mails)
    assert float(store.client.hget(f"{PREFIX}general|:slowed", "connections")) > before


def test_what_goes_well_costs_nothing_where_nothing_is_slowed(store):
    async def act(one):
        await one.admit(site(), "default", 1)
        asked = []
        one._redis.run = lambda *question: asked.append(question)
        await one.went_well(site(), "", 100)
        return asked

    assert run(act) == []


def test_a_slowed_site_is_forgotten_by_itself(store):
    async def act(one):
        await one.complained(site(), "", TOO_FAST)

    run(act)
    assert 0 < store.client.ttl(f"{PREFIX}general|:slowed") <= 3600
    assert all(store.client.ttl(key) > 0 for key in store.client.keys("*"))


def test_a_blocked_source_stops_and_another_address_of_the_pool_goes_on(store):
    """RATE-3"""
    for address in ("127.0.0.2", "127.0.0.3"):
        SourceIp.objects.create(address=address, hostname=f"out{address[-1]}.example.jp")

    async def act(one):
        await one.complained(site("yahoo"), "127.0.0.2", BLOCKED)
        admissions = [await one.admit(site("yahoo"), "default", 10) for _ in range(3)]
        elsewhere = [await one.admit(site("google"), "default", 10) for _ in range(2)]
        refused = await one.connect(site("yahoo"), "127.0.0.2")
        await one.complained(site("yahoo"), "127.0.0.3", BLOCKED)
        return admissions, elsewhere, refused, await one.admit(site("yahoo"), "default", 10)

    admissions, elsewhere, refused, none_left = run(act)
    assert {(a.source, a.helo, a.granted) for a in admissions} == {("127.0.0.3", "out3.example.jp", 10)}
    assert {a.source for a in elsewhere} == {"127.0.0.2", "127.0.0.3"}
    assert refused is None
    assert none_left.granted == 0
    assert 7000 < none_left.wait <= 7200
    slowed = slowed_sites()
    assert [(s.source, s.factor) for s in slowed] == [("127.0.0.2", 0.0), ("127.0.0.3", 0.0)]
    assert all(s.stopped_until < s.until for s in slowed)


def test_an_address_without_a_way_to_the_site_leaves_it_to_the_others(store):
    SourceIp.objects.create(address="127.0.0.2")
    SourceIp.objects.create(address="::1")

    async def act(one):
        await one.no_way(site(), "::1", "no IPv6 address")
        await one.no_way(site(), "", "never stops the system's choice")
        return {(await one.admit(site(), "default", 10)).source for _ in range(4)}

    assert run(act) == {"127.0.0.2"}


def test_try_again_in_ten_minutes_is_kept_to(store):
    later = parse_reply([b"451 4.7.1 rate limited, try again in 10 minutes"])

    async def act(one):
        await one.complained(site(), "", later)
        return await one.admit(site(), "default", 1)

    admission = run(act)
    assert admission.granted == 0
    assert 590 < admission.wait <= 600


def test_a_person_can_release_a_site(store):
    async def complain(one):
        await one.complained(site(mails_per_minute=60), "", BLOCKED)

    async def admit(one):
        return (await one.admit(site(mails_per_minute=60), "default", 1)).granted

    run(complain)
    assert run(admit) == 0
    assert release_site("general", "") is True
    assert release_site("general", "") is False
    assert slowed_sites() == []
    assert run(admit) == 1


def test_a_relay_is_not_stopped_for_what_others_said(store):
    async def act(one):
        await one.complained(site("relay"), "", BLOCKED)
        return (await one.admit(site("relay"), "default", 3)).granted

    assert run(act) == 3
    assert slowed_sites() == []


def test_a_refused_reader_slows_nobody(store):
    async def act(one):
        await one.complained(site(), "", parse_reply([b"550 5.1.1 User unknown"]))

    run(act)
    assert store.client.keys("*") == []


# ---- source IPs -----------------------------------------------------------------------------------------------------


def test_mail_is_spread_over_the_pool(store):
    """RATE-3"""
    for number in (2, 3, 4):
        SourceIp.objects.create(address=f"127.0.0.{number}", pool="news")
    SourceIp.objects.create(address="127.0.0.5", pool="news", enabled=False)
    SourceIp.objects.create(address="127.0.0.6")

    async def act(one):
        return [await one.admit(site(), "news", 10) for _ in range(9)]

    used = [admission.source for admission in run(act)]
    assert sorted(used) == ["127.0.0.2"] * 3 + ["127.0.0.3"] * 3 + ["127.0.0.4"] * 3


def test_an_empty_pool_falls_back_to_the_default_one_and_then_to_the_system(store):
    """RATE-3"""

    async def act(one):
        return await one.admit(site(), "news", 1)

    assert run(act).source == ""
    SourceIp.objects.create(address="127.0.0.6")
    sources.forget_sources()
    assert run(act).source == "127.0.0.6"
    SourceIp.objects.create(address="127.0.0.7", pool="news")
    sources.forget_sources()
    assert run(act).source == "127.0.0.7"


def test_a_relay_is_reached_from_the_systems_address(store):
    SourceIp.objects.create(address="127.0.0.6")

    async def act(one):
        return (await one.admit(site("relay"), "default", 1)).source

    assert run(act) == ""


def test_an_address_of_another_machine_is_left_out(store, caplog):
    SourceIp.objects.create(address="198.51.100.7")

    async def act(one):
        return (await one.admit(site(), "default", 1)).source

    assert run(act) == ""
    assert "198.51.100.7 is no address of this machine" in caplog.text


def test_a_new_address_warms_up_and_the_rest_goes_from_warm_ones(store):
    """RATE-3"""
    SourceIp.objects.create(address="127.0.0.2", warmup_started_on=date(2026, 11, 22))
    SourceIp.objects.create(address="127.0.0.3")

    async def act(one):
        total = {}
        for _ in range(20):
            admission = await one.admit(site("google"), "default", 50)
            total[admission.source] = total.get(admission.source, 0) + admission.granted
        return total, (await one.admit(site("docomo"), "default", 50)).source

    total, _other_site = run(act, clock=lambda: NOON)
    assert total == {"127.0.0.2": 200, "127.0.0.3": 800}


def test_with_new_addresses_only_mail_waits_until_tomorrow(store):
    """RATE-3"""
    SourceIp.objects.create(address="127.0.0.2", warmup_started_on=date(2026, 11, 22))

    async def act(one):
        granted = [(await one.admit(site(), "default", 150)).granted for _ in range(2)]
        return granted, await one.admit(site(), "default", 150)

    granted, full = run(act, clock=lambda: NOON)
    assert granted == [150, 50]
    assert full.granted == 0
    assert full.wait == pytest.approx(12 * 3600, abs=1)

    async def tomorrow(one):
        return (await one.admit(site(), "default", 1000)).granted

    assert run(tomorrow, clock=lambda: NOON.replace(day=23)) == 400


def test_warm_up_never_more_than_doubles_and_ends_after_a_month():
    """RATE-3"""
    steps = [later / earlier for earlier, later in zip(sources.WARMUP, sources.WARMUP[1:], strict=False)]
    assert max(steps) <= 2 and min(steps) > 1
    source = sources.Source("192.0.2.1", "", date(2026, 11, 1))
    assert sources.daily_limit(source, date(2026, 11, 1)) == 200
    assert sources.daily_limit(source, date(2026, 11, 30)) == 1_000_000
    assert sources.daily_limit(source, date(2026, 12, 1)) is None
    assert sources.daily_limit(source, date(2026, 10, 31)) == 0
    assert sources.daily_limit(sources.Source("192.0.2.1", ""), date(2026, 11, 1)) is None


def test_days_are_those_of_tokyo():
    day, left = sources.today_in_tokyo(datetime(2026, 11, 22, 15, 30, tzinfo=UTC))
    assert (day, left) == (date(2026, 11, 23), 23.5 * 3600)


def test_a_flush_does_not_start_the_day_of_a_new_address_again(store):
    """RATE-3: this process knows what it has sent itself."""
    SourceIp.objects.create(address="127.0.0.2", warmup_started_on=date(2026, 11, 22))

    async def act(one):
        await one.admit(site(), "default", 180)
        store.client.flushall()
        return (await one.admit(site(), "default", 180)).granted

    assert run(act, clock=lambda: NOON) == 20


# ---- without Redis --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["killed", "paused"])
def away(store, request, monkeypatch):
    """Takes Redis away; and gives it back."""
    monkeypatch.setattr(scripts, "TIMEOUT", 0.2)
    monkeypatch.setattr(scripts, "AWAY", 0.1)

    class Away:
        def go(self):
            if request.param == "killed":
                store.stop()
            else:
                store.process.send_signal(signal.SIGSTOP)

        def come_back(self):
            if request.param == "killed":
                store.start()
            else:
                store.process.send_signal(signal.SIGCONT)
                store.client.ping()

    away = Away()
    yield away
    store.process.send_signal(signal.SIGCONT)
    if store.process.poll() is not None:
        store.start()


def test_without_redis_each_process_goes_on_with_a_small_share_and_comes_back(store, away):
    rule = site(mails_per_minute=600, connections=8)
    burst, share = 20, 8 // 4

    async def act(one):
        before = (await one.admit(rule, "default", 100)).granted
        away.go()
        admission = await one.admit(rule, "default", 100)
        waits = await one.admit(rule, "default", 100)
        permits = [await one.connect(rule, "") for _ in range(5)]
        await one.complained(rule, "", BLOCKED)
        stopped = await one.admit(rule, "default", 100)
        refused = await one.connect(rule, "")
        await one.went_well(rule, "", 1)
        await one.disconnect(permits[0])
        away.come_back()
        deadline = monotonic() + 30
        while one._redis._away_until and monotonic() < deadline:
            await one.renew([permits[1]])
            await asyncio.sleep(0.05)
        after = (await one.admit(rule, "default", 1)).granted
        return before, admission, waits, permits, stopped, refused, after

    before, admission, waits, permits, stopped, refused, after = run(act)
    assert before == burst
    assert admission.granted == 2  # a second's worth of a quarter
    assert waits.granted == 0 and 0 < waits.wait <= 1
    assert [permit is not None for permit in permits] == [True] * share + [False] * (5 - share)
    assert stopped.granted == 0 and stopped.wait > 7000
    assert refused is None
    assert after == 1


def test_without_redis_a_new_address_sends_a_quarter_of_its_day(store, away):
    """RATE-3"""
    SourceIp.objects.create(address="127.0.0.2", warmup_started_on=date(2026, 11, 22))

    async def act(one):
        away.go()
        return [(await one.admit(site(), "default", 40)).granted for _ in range(3)]

    assert run(act, clock=lambda: NOON) == [40, 10, 0]


def test_without_redis_an_unlimited_rule_stays_unlimited(store, away):
    async def act(one):
        away.go()
        return (await one.admit(site("relay"), "default", 500)).granted

    assert run(act) == 500


def test_without_redis_nobody_knows_what_is_slowed(store, away):
    away.go()
    with pytest.raises(RedisAway):
        slowed_sites()
    with pytest.raises(RedisAway):
        release_site("general", "")


def test_many_questions_at_once_while_redis_is_silent_all_get_an_answer(store, away):
    async def act(one):
        away.go()
        return await asyncio.gather(
            *(one.admit(replace(site(), key=f"s{n}"), "default", 1) for n in range(200))
        )

    assert [admission.granted for admission in run(act)] == [1] * 200


def test_scripts_that_redis_forgot_are_loaded_again(store):
    async def act(one):
        await one.admit(site(), "default", 1)
        store.client.script_flush()
        store.client.flushall()
        return (await one.admit(site(mails_per_minute=60), "default", 5)).granted

    assert run(act) == 2
