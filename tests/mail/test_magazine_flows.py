"""The stories of Y-mail's own page 「この読者は配信対象?」, each from one end to the other: through the pages, the links in the mails, the
start, the engine."""

import re
import uuid
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from mail import job_start
from mail.delivery.engine import ALL, deliver
from mail.magazines.blacklist import is_blacklisted
from mail.magazines.failures import count
from mail.magazines.magazines import save_magazine
from mail.magazines.readers import change_reader, leave, register
from mail.models import Reader, ReaderChange, SendJob
from mail.recipients.explain import explain
from mail.stories import starts
from tests.factories import make_delivery, make_lead, make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story
from tests.mail.reader_importing import bring_in, check, groups, take_back

TOKYO = ZoneInfo("Asia/Tokyo")


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Nobody else takes the work: each test says when what happens."""
    for module in ("mail.job_start", "mail.stories.starts", "mail.send_jobs"):
        monkeypatch.setattr(f"{module}.hint", lambda task, *ids, **_options: None)


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def issue(magazine, name="臨時号", **values):
    return make_story(magazine, "extra", name=name, state="draft", **values)


def send(story, now=None):
    """「はい」."""
    return starts.send_now(story, user=None, now=now or timezone.now(), token=uuid.uuid4())


def reason(job, reader):
    return job.deliveries.get(lead=reader.lead_id).reason


def fails(magazine, reader, times, cause="full"):
    """So many mails of the magazine came back."""
    story = make_story(magazine)
    for number in range(times):
        job = SendJob.objects.create(
            rule="by_search", state="done", magazine=magazine, story=story, template=story.template,
            occurrence_at=timezone.now() - timedelta(days=30 + number),
        )  # fmt: skip
        mail = make_delivery(
            reader.lead,
            job=job,
            kind="magazine",
            state="error",
            cause=cause,
            code=42552,
            sent_at=timezone.now(),
        )
        count([mail.pk], now=timezone.now())
    reader.refresh_from_db()


# ---- 配信可能状態でも配信時にエラー停止状態になるケースがある


def test_a_stricter_threshold_holds_from_the_next_start_on(client, misaki, db):
    """MAG-5: 5 → 2 changes nobody by itself; the next start stops who is over it by then, leaves them out of this very delivery,
    and its page says who."""
    magazine = make_magazine()
    weak, strong = (
        make_reader(magazine, "weak@yamate.example.jp"),
        make_reader(magazine, "strong@yamate.example.jp"),
    )
    fails(magazine, weak, 2)
    fails(magazine, strong, 1)
    assert weak.state == "deliverable"
    assert reason(send(issue(magazine, "前の号")), weak) == ""
    save_magazine({"stop_full": 2}, magazine=magazine, user=misaki, now=timezone.now())
    weak.refresh_from_db()
    assert weak.state == "deliverable"
    job = send(issue(magazine))
    assert (reason(job, weak), reason(job, strong)) == ("reader_error_stopped", "")
    weak.refresh_from_db()
    assert weak.state == "error_stopped"
    (change,) = ReaderChange.objects.filter(job_id=job.pk)
    assert (change.way, change.group, change.lead_id) == ("start", "full", weak.lead_id)
    page = client.get(reverse("magazine_job", args=[magazine.pk, job.pk])).content.decode()
    stopped = client.get(reverse("magazine_job_stopped", args=[magazine.pk, job.pk])).content.decode()
    assert reverse("magazine_job_stopped", args=[magazine.pk, job.pk]) in page
    assert weak.lead.email in stopped and strong.lead.email not in stopped


@pytest.mark.parametrize(
    ("reset", "state", "why"), [(False, "error_stopped", "reader_error_stopped"), (True, "deliverable", "")]
)
def test_set_back_without_a_reset_the_next_start_stops_again(misaki, db, reset, state, why):
    """MAG-6: エラー停止 → 配信可能 keeps the failures unless 「不達情報をリセットする」 is ticked."""
    magazine = make_magazine(stop_full=2)
    reader = make_reader(magazine)
    fails(magazine, reader, 2)
    assert reader.state == "error_stopped"
    change_reader(reader, {}, state="deliverable", reset_failures=reset, user=misaki, now=timezone.now())
    reader.refresh_from_db()
    assert reader.state == "deliverable"
    job = send(issue(magazine))
    reader.refresh_from_db()
    assert (reason(job, reader), reader.state) == (why, state)


# ---- 配信フィルタはどのように働くの?


def test_state_comes_before_the_filter(db):
    """MAG-7: 「たとえ配信フィルタで絞り込みの対象となっていても」 who is stopped gets nothing; the filter says to whom, not whom not."""
    magazine = make_magazine()
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}],
    }
    meant = make_reader(magazine, lead=make_lead("a@yamate.example.jp", prefecture="東京都"))
    stopped = make_reader(
        magazine, lead=make_lead("b@yamate.example.jp", prefecture="東京都"), state="stopped"
    )
    failing = make_reader(
        magazine, lead=make_lead("c@yamate.example.jp", prefecture="東京都"), state="error_stopped"
    )
    other = make_reader(magazine, lead=make_lead("d@yamate.example.jp", prefecture="大阪府"))
    job = send(issue(magazine, filter=condition))
    assert [reason(job, one) for one in (meant, stopped, failing, other)] == [
        "", "reader_stopped", "reader_error_stopped", "filter",
    ]  # fmt: skip


# ---- 配信対象の読者はいつ決まるの?


def test_reserved_on_the_12th_for_the_15th_with_an_import_between(client, misaki, db):
    """TGT-10, TGT-11: decided on 15 October at 14:00 and some seconds; who was imported on the 13th gets it, who left on the
    14th does not, and the page says 「配信日」「配信開始時刻」."""
    magazine = make_magazine()
    there, leaves = (
        make_reader(magazine, "there@yamate.example.jp"),
        make_reader(magazine, "leaves@yamate.example.jp"),
    )
    reserved, at = datetime(2026, 10, 12, 10, tzinfo=TOKYO), datetime(2026, 10, 15, 14, tzinfo=TOKYO)
    job = starts.reserve(issue(magazine), at, user=misaki, now=reserved, token=uuid.uuid4())
    assert job.state == "reserved" and job.deliveries.count() == 0
    bring_in(magazine, "E-mailアドレス\nimported@yamate.example.jp\n")
    leave(magazine, leaves.lead, way="form", now=at - timedelta(days=1))
    assert not job_start.run(job.pk, now=at - timedelta(seconds=1))
    assert job.deliveries.count() == 0
    started = at + timedelta(seconds=7)
    assert job_start.run(job.pk, now=started)
    job.refresh_from_db()
    assert (job.started_at, job.decided_at) == (started, started)
    imported = Reader.objects.get(lead__email="imported@yamate.example.jp")
    assert [reason(job, one) for one in (there, leaves, imported)] == ["", "reader_stopped", ""]
    page = client.get(reverse("magazine_job", args=[magazine.pk, job.pk])).content.decode()
    assert "配信日" in page and "配信開始時刻" in page and "14:00:07" in page


def test_an_import_that_is_taken_back_before_the_start_reaches_nobody(db):
    """TGT-10: what counts is the start, not the reservation."""
    magazine = make_magazine()
    at = timezone.now() + timedelta(hours=2)
    job = starts.reserve(issue(magazine), at, user=None, now=timezone.now(), token=uuid.uuid4())
    brought = bring_in(magazine, "E-mailアドレス\nwrong@yamate.example.jp\n")
    take_back(brought)
    assert job_start.run(job.pk, now=at)
    assert job.deliveries.count() == 0


# ---- 配信中に配信停止状態になった読者には配信されるの?


@pytest.mark.django_db(transaction=True)
def test_who_stops_during_a_running_delivery(client, sink, settings):
    """OPT-6, OPT-5: one click of a mail of the same delivery, before their own is handed over: not sent, with the reason. After
    the hand-over it cannot be called back; the next issue does not come."""
    settings.SMTP_DOT_TIMEOUT = 60  # on a noisy machine no answer is lost
    magazine = make_magazine()
    early, late = (
        make_reader(magazine, "taro@yamate.example.jp"),
        make_reader(magazine, "hanako@yamate.example.jp"),
    )
    first = send(issue(magazine, "第1号"))
    leave(magazine, early.lead, way="form", now=timezone.now())  # after the start, before the hand-over
    deliver(ALL, until=timezone.now() + timedelta(seconds=30))
    assert [mail["recipients"] for mail in sink.mails] == [["hanako@yamate.example.jp"]]
    row = first.deliveries.get(lead=early.lead_id)
    assert (row.state, row.reason) == ("excluded", "reader_left_late")
    assert "配信開始後" in explain(first, early.lead, now=timezone.now()).sentence
    # Now by the link in the mail that arrived: looking changes nothing, the mail program's POST acts.
    header = sink.mails[0]["data"].replace("\r\n ", " ")
    (url,) = re.findall(r"^List-Unsubscribe: <([^>]+)>", header, re.MULTILINE)
    assert client.get(urlsplit(url).path).status_code == 200
    late.refresh_from_db()
    assert late.state == "deliverable"
    assert client.post(urlsplit(url).path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    late.refresh_from_db()
    assert late.state == "stopped"
    late.lead.refresh_from_db()
    assert late.lead.unsubscribed_at is None  # OPT-7: that reader only
    assert first.deliveries.get(lead=late.lead_id).state == "sent"
    second = send(issue(magazine, "第2号"))
    assert [reason(second, one) for one in (early, late)] == ["reader_stopped", "reader_stopped"]


# ---- よくあるトラブル


def test_import_with_the_blacklist_switched_off(misaki, db):
    """MAG-9: with the blacklist an import leaves who left alone; without it the import sets 配信可能, and the next issue comes."""
    magazine = make_magazine()
    reader = make_reader(magazine, "back@yamate.example.jp")
    leave(magazine, reader.lead, way="form", now=timezone.now())
    refused = check(magazine, "E-mailアドレス\nback@yamate.example.jp\n", user=misaki)
    assert groups(refused) == {"back@yamate.example.jp": "refused"}
    assert reason(send(issue(magazine, "第1号")), reader) == "reader_stopped"
    magazine = save_magazine({"blacklist": False}, magazine=magazine, user=misaki, now=timezone.now())
    bring_in(magazine, "E-mailアドレス\nback@yamate.example.jp\n", user=misaki)
    job = send(issue(magazine, "第2号"))
    assert reason(job, reader) == ""
    assert "インポート" in "".join(explain(job, reader.lead, now=timezone.now()).evidence)


def test_another_magazine_knows_nothing_of_it(db):
    """MAG-1: state, failures and blacklist belong to one magazine; an opt-out does not carry over."""
    weekly, monthly = make_magazine("週刊", stop_full=1), make_magazine("月刊", stop_full=1)
    lead = make_lead("taro@yamate.example.jp", dm_permission="unwanted")
    stopped, failing = make_reader(weekly, lead=lead), make_reader(weekly, "jiro@yamate.example.jp")
    there, also = make_reader(monthly, lead=lead), make_reader(monthly, lead=failing.lead)
    leave(weekly, lead, way="form", now=timezone.now())
    fails(weekly, failing, 1)
    issues = send(issue(weekly)), send(issue(monthly))
    assert [reason(issues[0], one) for one in (stopped, failing)] == [
        "reader_stopped",
        "reader_error_stopped",
    ]
    assert [reason(issues[1], one) for one in (there, also)] == ["", ""]
    also.refresh_from_db()
    assert (also.state, also.failures_full) == ("deliverable", 0)
    assert is_blacklisted(weekly, lead.email_norm) and not is_blacklisted(monthly, lead.email_norm)
    third = make_magazine("新しいメルマガ")
    assert register(third, lead, way="import", now=timezone.now(), evidence="import").outcome == "new"
    assert reason(send(issue(third)), there) == ""


# ---- odd characters


@pytest.mark.django_db(transaction=True)
def test_what_iso_2022_jp_cannot_carry_makes_that_mail_utf_8(sink, settings):
    """CHR-1: an issue in ISO-2022-JP; a free item's value that does not fit changes the mail of that reader only. A line end in a
    value, however it came there, ends no header."""
    settings.SMTP_DOT_TIMEOUT = 60
    magazine = make_magazine()
    shop = make_item(magazine, "店舗")
    values = {
        "plain": "本店",
        "odd": "髙﨑𠮷①㈱😀",
        "breaks": "本店\r\nBcc: all@yamate.example.jp\r\n\r\nbody",
        "none": "",
    }
    for name, value in values.items():
        make_reader(magazine, f"{name}@yamate.example.jp", values={shop.key: value} if value else {})
    text = {
        "charset": "iso-2022-jp",
        "subject": "{{ 店舗 }}のお知らせ",
        "text_body": "{{ 店舗 }}\n{{ 配信停止URL }}\n",
    }
    send(issue(magazine, template_values=text))
    deliver(ALL, until=timezone.now() + timedelta(seconds=30))
    got = {}
    for mail in sink.mails:
        parsed = message_from_bytes(mail["data"].encode(), policy=policy.default)
        assert (parsed["bcc"], str(parsed["from"])) == (None, "SMPセミナー事務局 <info@seminar.example.jp>")
        name = mail["recipients"][0].partition("@")[0]
        got[name] = (parsed.get_content_charset(), str(parsed["subject"]))
        assert parsed.get_content().startswith(values[name])
    assert got == {
        "plain": ("iso-2022-jp", "本店のお知らせ"),
        "odd": ("utf-8", "髙﨑𠮷①㈱😀のお知らせ"),
        "breaks": ("iso-2022-jp", "本店 Bcc: all@yamate.example.jp bodyのお知らせ"),
        "none": ("iso-2022-jp", "のお知らせ"),
    }
