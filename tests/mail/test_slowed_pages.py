"""「配信速度」: what is slowed and why, its button (RATE-1), and today's share of addresses in warm-up (RATE-3)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.delivery.slowed import slowed_sites
from mail.delivery.sources import forget_sources, today_in_tokyo
from mail.delivery.speed_rules import forget_speed_rules
from mail.smtp.replies import parse_reply
from mail.warmup_queries import warmups_today
from settings.models import AuditEntry, Role, SourceIp
from tests.factories import make_campaign, make_delivery, make_lead, make_sending_job, make_user
from tests.mail.test_throttle import BLOCKED, TOO_FAST, OwnRedis, run, site

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory):
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def store(own_redis, settings):
    own_redis.client.flushall()
    settings.REDIS_URL = own_redis.url
    forget_speed_rules()
    return own_redis


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def slow(key, reply=TOO_FAST, source=""):
    async def act(one):
        await one.complained(site(key), source, reply)

    run(act)


def test_nothing_is_slowed(client, misaki):
    html = client.get(reverse("speed")).content.decode()
    assert "速度を落としている宛先はありません。" in html
    assert "速度を落としている宛先はありません。" in client.get(reverse("speed_slowed")).content.decode()


def test_what_is_slowed_and_why(client, misaki):
    """RATE-1: which receiver, from which of our addresses, in its own words, until when, and what waits behind it."""
    slow("docomo", parse_reply([b"450 4.7.1 too many messages <script>alert(1)</script>"]))
    slow("yahoo", BLOCKED, "192.0.2.1")
    job = make_sending_job("a@docomo.ne.jp", "b@docomo.ne.jp", "c@mopera.net", "d@gmail.com")
    make_delivery(make_lead("sent@docomo.ne.jp"), job=job, state="sent")
    for url in (reverse("speed"), reverse("speed_slowed")):
        answer = client.get(url)
        html = answer.content.decode()
        assert "too many messages &lt;script&gt;" in html and "<script>alert" not in html
        assert "TSS04" in html and "192.0.2.1" in html and "停止中" in html and "50%" in html
        assert 'hx-trigger="every 10s"' in html
        docomo = next(line for line in answer.context["slowed"] if line.site.key == "docomo")
        assert [(one.domain, one.number) for one in docomo.waiting] == [
            ("docomo.ne.jp", 2),
            ("mopera.net", 1),
        ]
        for one in docomo.waiting:
            assert len(client.get(one.url).context["page"].rows) == one.number


def test_a_group_of_mx_hosts_is_known_by_who_answered(client, misaki):
    slow("mx:mx1.example.jp,mx2.example.jp")
    job = make_sending_job("a@unasked.example.jp")
    make_delivery(make_lead("b@b.example.jp"), job=job, state="deferred", remote_host="MX2.example.jp")
    make_delivery(make_lead("c@c.example.jp"), job=job, state="deferred", remote_host="mx3.example.jp")
    (line,) = client.get(reverse("speed")).context["slowed"]
    assert [(one.domain, one.number) for one in line.waiting] == [("b.example.jp", 1)]


def test_release(client, misaki):
    slow("yahoo", BLOCKED, "192.0.2.1")
    slow("docomo")
    values = {"key": "yahoo", "source": "192.0.2.1"}
    html = client.post(reverse("speed_release"), values, follow=True).content.decode()
    assert "解除しました。" in html and [one.key for one in slowed_sites()] == ["docomo"]
    entry = AuditEntry.objects.get(action="speed.release")
    assert (entry.user, entry.target_label, entry.detail) == (misaki, "yahoo", {"source_ip": "192.0.2.1"})
    html = client.post(reverse("speed_release"), values, follow=True).content.decode()
    assert (
        "すでに解除されています。" in html and AuditEntry.objects.filter(action="speed.release").count() == 1
    )
    assert client.get(reverse("speed_release")).status_code == 405


def test_what_waits_behind_a_released_site_is_due_again(client, misaki):
    """RATE-1: but not what the receiver refused for a while (ERR-3), nor what waits for another one."""
    slow("docomo")
    later = timezone.now() + timedelta(minutes=50)
    job = make_sending_job("a@docomo.ne.jp", "b@docomo.ne.jp", "c@example.jp")
    job.deliveries.update(next_at=later)
    job.deliveries.filter(address="b@docomo.ne.jp").update(state="deferred")
    client.post(reverse("speed_release"), {"key": "docomo", "source": ""})
    due = job.deliveries.filter(next_at__lte=timezone.now())
    assert list(due.values_list("address", flat=True)) == ["a@docomo.ne.jp"]


def test_without_redis_the_page_says_that_it_does_not_know(client, misaki, store):
    store.stop()
    try:
        for url in (reverse("speed"), reverse("speed_slowed")):
            html = client.get(url).content.decode()
            assert "Redis が応答しないため、速度を落としている宛先を確認できません。" in html
            assert "速度を落としている宛先はありません。" not in html
        html = client.post(
            reverse("speed_release"), {"key": "docomo", "source": ""}, follow=True
        ).content.decode()
        assert "解除できませんでした。" in html
        assert not AuditEntry.objects.filter(action="speed.release").exists()
    finally:
        store.start()


@pytest.mark.parametrize("key", ["", "\0", "*", "docomo|", "x" * 10_000, "\ud800", "docomo\r\nFLUSHALL"])
def test_hostile_releases(client, misaki, key):
    slow("docomo")
    body = b"source=&key=" + key.encode("utf-8", "surrogatepass")
    answer = client.post(reverse("speed_release"), body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 302 and len(slowed_sites()) == 1


def test_campaign_administrators_see_nothing_of_it(client, db):
    """SYS-1: speed belongs to all campaigns."""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    client.force_login(kenta)
    slow("docomo")
    release = {"key": "docomo", "source": ""}
    assert client.get(reverse("speed_slowed")).status_code == 403
    assert client.post(reverse("speed_release"), release).status_code == 403
    assert client.post(f"/c/{campaign.pk}" + reverse("speed_release"), release).status_code == 404
    assert len(slowed_sites()) == 1


def test_viewers_look_only(client, db):
    client.force_login(make_user("yui", role=Role.VIEWER))
    slow("docomo")
    html = client.get(reverse("speed")).content.decode()
    assert "too many messages" in html and "今すぐ解除" not in html
    assert client.post(reverse("speed_release"), {"key": "docomo", "source": ""}).status_code == 403
    assert len(slowed_sites()) == 1


def test_as_many_queries_for_one_as_for_three(client, misaki):
    slow("docomo")
    make_sending_job("a@docomo.ne.jp")
    client.get(reverse("speed_slowed"))
    with CaptureQueriesContext(connection) as one:
        client.get(reverse("speed_slowed"))
    slow("yahoo")
    slow("google")
    make_sending_job("a@gmail.com", "b@yahoo.com")
    with CaptureQueriesContext(connection) as three:
        client.get(reverse("speed_slowed"))
    assert len(one) == len(three)


def test_without_redis_the_page_still_opens(client, misaki, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    SourceIp.objects.create(address="192.0.2.1", warmup_started_on=timezone.localdate())
    html = client.get(reverse("speed")).content.decode()
    assert "今日の送信数は不明です" in html
    assert client.post(reverse("speed_release"), {"key": "docomo", "source": ""}).status_code == 302


def test_warm_up_today(client, misaki, store):
    """RATE-3: the limit of the day per receiver, and what went out already, as the throttle counts it."""
    now = timezone.now()
    today, _seconds = today_in_tokyo(now)
    new = SourceIp.objects.create(address="127.0.0.2", warmup_started_on=today - timedelta(days=1))
    old = SourceIp.objects.create(
        address="127.0.0.3", pool="old", warmup_started_on=today - timedelta(days=300)
    )
    later = SourceIp.objects.create(
        address="127.0.0.4", pool="later", warmup_started_on=today + timedelta(days=2)
    )
    warm = SourceIp.objects.create(address="127.0.0.5", pool="warm")
    unused = SourceIp.objects.create(address="127.0.0.6", enabled=False, warmup_started_on=today)
    key = f"smp:speed:docomo|127.0.0.2:{today.isoformat()}"
    store.client.set(key, 150)
    store.client.set(f"smp:speed:google|127.0.0.2:{today.isoformat()}", 20)
    store.client.set(f"smp:speed:google|127.0.0.22:{today.isoformat()}", 999)
    store.client.set(f"smp:speed:google|127.0.0.2:{(today - timedelta(days=1)).isoformat()}", 200)
    found = warmups_today([new, old, later, warm, unused], now=now)
    assert set(found) == {new.pk, old.pk, later.pk}
    assert (found[new.pk].day, found[new.pk].limit) == (2, 400)
    assert found[new.pk].used == [("docomo", 150), ("google", 20)]
    assert found[old.pk].limit is None and found[later.pk].limit == 0
    html = client.get(reverse("speed")).content.decode()
    assert "2日目(全30日): 今日の上限は宛先ごとに400通" in html and "docomo: 150 / 400" in html
    assert "終了(上限なし)" in html and "開始前(まだ送信しません)" in html


@pytest.mark.django_db(transaction=True)
def test_the_throttle_writes_what_is_shown():
    """The same keys on both sides."""
    now = timezone.now()
    today, _seconds = today_in_tokyo(now)
    row = SourceIp.objects.create(address="127.0.0.2", warmup_started_on=today)
    forget_sources()

    async def act(one):
        return await one.admit(site("docomo"), "default", 30)

    admission = run(act)
    forget_sources()
    assert (admission.source, admission.granted) == ("127.0.0.2", 30)
    assert warmups_today([row], now=now)[row.pk].used == [("docomo", 30)]
    named = warmups_today([row], now=now, names={"docomo": "NTT docomo"})
    assert named[row.pk].used == [("NTT docomo", 30)]
