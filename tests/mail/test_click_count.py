"""Choosing what is counted, the register, and what becomes of a choice at the start: mail/click_count.py."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from mail import job_start, send_again, send_jobs, single_mail
from mail.click_count import (
    archive_counted_url,
    changes_since,
    choose,
    counted_urls,
    default_choice,
    restore_counted_url,
    save_counted_url,
    with_counting,
)
from mail.click_target import KEPT, forget_urls, location, target
from mail.delivery.claim import claim
from mail.delivery.compose import Composer
from mail.links import NOBODY, click_url, open_url
from mail.message import snapshot_content
from mail.models import CountedUrl, SendJob, StepMail
from mail.send_jobs import Refused
from mail.sent_mail import rebuild
from settings.models import AuditEntry
from tests.factories import (
    LEGAL_FOOTER,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_template,
    make_user,
)

NOW = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
START = NOW + timedelta(days=3)
APPLY, MAP = "https://x.example/apply?a=1&b=2", "https://x.example/map?id={{ リードID }}"
EVERYONE = {"match": "all", "blocks": []}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    for module in ("send_jobs", "job_start"):
        monkeypatch.setattr(f"mail.{module}.hint", lambda task, *ids: None)
    forget_urls()


@pytest.fixture
def template(db):
    return make_template(
        form="multipart",
        text_body=f"▼お申し込み\n{APPLY}\n▼地図\n{MAP}\n" + LEGAL_FOOTER,
        html_body='<p><a href="https://x.example/apply?a=1&amp;b=2">申し込む</a></p>' + LEGAL_FOOTER,
    )


def draft(template, *leads, **values):
    leads = leads or (make_lead("a@x.example"),)
    return send_jobs.create_draft(
        user=None, rule="by_user", template=template, lead_ids=[lead.pk for lead in leads], **values
    )


def started(job):
    assert send_jobs.confirm(job, user=None, now=NOW)
    assert job_start.run(job.pk, now=START)
    job.refresh_from_db()
    return job


def change(template, **values):
    type(template).objects.filter(pk=template.pk).update(**values)
    template.refresh_from_db()


# ---- choosing -------------------------------------------------------------------------------------------------------


def test_at_first_everything_is_chosen_under_the_words_of_the_mail(template, django_assert_num_queries):
    """TRK-1: names come from the register, or else from the mail."""
    CountedUrl.objects.create(url=MAP, digest=digest(MAP), name="会場案内")
    with django_assert_num_queries(1):
        choice = default_choice(template)
    assert choice == ({APPLY: "申し込む", MAP: "会場案内"}, True)
    change(template, form="text")
    assert default_choice(template).opens is False


def digest(url):
    from mail.click_count import digest_of

    return digest_of(url)


def test_a_choice_is_kept_with_the_draft(template):
    """TRK-1."""
    job = draft(template)
    choose(job, urls={APPLY: " 申込\n"}, opens=True)
    job = SendJob.objects.get(pk=job.pk)
    assert (job.count_clicks, job.count_opens) == (True, True)
    assert job.counted_urls == [{"url": APPLY, "name": "申込"}]
    assert job.known_urls == [APPLY, MAP]
    assert not CountedUrl.objects.exists()


def test_a_step_mail_chooses_too(template):
    step = StepMail.objects.create(name="x", origin="page_view", template=template)
    choose(step, urls={APPLY: "申込"}, opens=False)
    step.refresh_from_db()
    assert step.counted_urls == [{"url": APPLY, "name": "申込"}]
    StepMail.objects.update(state="active")
    with pytest.raises(Refused):
        choose(step, urls={}, opens=False)


def test_text_mails_have_no_opens(template):
    """TRK-2: refused, whatever the page shows."""
    change(template, form="text")
    with pytest.raises(ValidationError):
        choose(draft(template), urls={}, opens=True)


@pytest.mark.parametrize(
    "urls",
    [
        {"https://x.example/other": "x"},
        {"https://x.example/apply?a=1": "x"},
        {APPLY: " \0"},
        {APPLY: "x" * 201},
    ],
)
def test_what_cannot_be_chosen(template, urls):
    job = draft(template)
    with pytest.raises(ValidationError):
        choose(job, urls=urls, opens=False)
    job.refresh_from_db()
    assert job.counted_urls is None


def test_nothing_is_chosen_after_the_confirmation(template):
    """RSV-1."""
    job = draft(template, scheduled_at=START)
    assert send_jobs.confirm(job, user=None, now=NOW)
    with pytest.raises(Refused):
        choose(job, urls={APPLY: "x"}, opens=False)
    with pytest.raises(Refused):
        send_jobs.change_draft(job, count_clicks=True)


def test_a_name_typed_on_the_wizards_page_is_the_urls_name(template):
    row = save_counted_url(None, campaign_id=None, url=APPLY, name="旧", user=None)
    user = make_user("misaki")
    choose(draft(template), urls={APPLY: "新"}, opens=False, user=user)
    row.refresh_from_db()
    assert row.name == "新"
    entry = AuditEntry.objects.get(action="counted_url.change")
    assert (entry.user, entry.detail["changes"]) == (user, {"name": ["旧", "新"]})


def test_the_confirmation_page_belongs_to_the_choice(template):
    """RSV-5: a choice changed in another window is not sent unseen."""
    job = draft(template)
    seen = send_jobs.fingerprint(job)
    choose(job, urls={APPLY: "x"}, opens=False)
    chosen = send_jobs.fingerprint(job)
    assert chosen != seen
    choose(job, urls={APPLY: "x"}, opens=True)
    assert send_jobs.fingerprint(job) != chosen
    with pytest.raises(Refused) as refused:
        send_jobs.confirm(job, user=None, now=NOW, seen=chosen)
    assert refused.value.code == "changed"


def test_counting_without_a_choice_is_not_confirmed(template):
    """TRK-1: 使用する leads to the page where URLs are chosen."""
    job = draft(template)
    send_jobs.change_draft(job, count_clicks=True)
    with pytest.raises(Refused) as refused:
        send_jobs.confirm(job, user=None, now=NOW)
    assert refused.value.code == "no_url_choice"


def test_another_template_takes_a_choice_away_unless_it_fits(template):
    job = draft(template)
    choose(job, urls={APPLY: "x"}, opens=True)
    copy = make_template(
        "写し", form="html", text_body="", html_body=f'<a href="{MAP}">a</a><a href="{APPLY}">b</a>'
    )
    send_jobs.change_draft(job, template=copy)
    assert job.counted_urls == [{"url": APPLY, "name": "x"}]
    send_jobs.change_draft(job, template=make_template("別", text_body=f"{APPLY}\n{MAP}"))
    assert (job.count_clicks, job.counted_urls, job.known_urls, job.count_opens) == (True, None, None, False)


# ---- the start ------------------------------------------------------------------------------------------------------


def test_a_mailing_that_counts(template):
    """TRK-1, RSV-4: the snapshot says what is counted, the mails have the links, the register has the URLs."""
    job = draft(template)
    choose(job, urls={APPLY: "申込", MAP: "地図"}, opens=True)
    started(job)
    rows = {row.url: row for row in counted_urls(None)}
    assert {url: row.name for url, row in rows.items()} == {APPLY: "申込", MAP: "地図"}
    assert job.snapshot.content["counted"] == {url: row.pk for url, row in rows.items()}
    assert job.snapshot.content["opens"] is True
    assert job.links_changed == {"gone": [], "new": []}
    delivery = _sent(job)
    sent = rebuild(delivery).mail
    assert sent.text.startswith(
        f"▼お申し込み\n{click_url(delivery.pk, rows[APPLY].pk)}\n▼地図\n{click_url(delivery.pk, rows[MAP].pk)}\n"
    )
    assert f'<a href="{click_url(delivery.pk, rows[APPLY].pk)}">申し込む</a>' in sent.html
    assert open_url(delivery.pk) in sent.html
    assert target(delivery.pk, rows[APPLY].pk) == APPLY
    assert target(delivery.pk, rows[MAP].pk) == f"https://x.example/map?id={delivery.lead_id}"
    shown = rebuild(delivery, direct=True).mail
    assert shown.text.startswith(f"▼お申し込み\n{APPLY}\n")
    assert "/l/" not in shown.html and "/o/" not in shown.html


def _sent(job):
    """As the engine leaves it (mail/delivery/intent.py)."""
    delivery = job.deliveries.get()
    type(delivery).objects.filter(pk=delivery.pk).update(state="sent", sent_at=START, snapshot=job.snapshot)
    delivery.refresh_from_db()
    return delivery


def test_an_uncounted_mailing_is_as_before(template):
    job = started(draft(template))
    assert job.snapshot.content == snapshot_content(template)
    assert job.links_changed is None
    assert not CountedUrl.objects.exists()


def test_a_template_changed_after_the_reservation(template):
    """TRK-5: URLs are found by URL: re-ordered ones are counted as what they are, a gone one is not, a new one was not
    chosen, one left out before stays left out. The job says so, before the start and after it."""
    job = draft(template, scheduled_at=START)
    choose(job, urls={APPLY: "申込"}, opens=False)
    assert send_jobs.confirm(job, user=None, now=NOW)
    new = "https://x.example/new"
    change(template, text_body=f"{new}\n{MAP}\n{APPLY}\n" + LEGAL_FOOTER, html_body="<p>a</p>" + LEGAL_FOOTER)
    job.refresh_from_db()
    assert changes_since(job) == {"gone": [], "new": [new]}
    assert job_start.run(job.pk, now=START)
    job.refresh_from_db()
    assert list(job.snapshot.content["counted"]) == [APPLY]
    assert job.links_changed == {"gone": [], "new": [new]}
    sent = rebuild(_sent(job)).mail
    assert sent.text.splitlines()[0] == new
    assert target(0, job.snapshot.content["counted"][APPLY]) == APPLY


def test_a_chosen_url_that_is_gone_leads_nowhere_else(template):
    """TRK-5: not even to its likeness: a URL is one other as soon as one character differs."""
    job = draft(template, scheduled_at=START)
    choose(job, urls={APPLY: "申込", MAP: "地図"}, opens=False)
    assert send_jobs.confirm(job, user=None, now=NOW)
    change(template, text_body=f"{APPLY}&c=3\n" + LEGAL_FOOTER, html_body="<p>a</p>" + LEGAL_FOOTER)
    assert job_start.run(job.pk, now=START)
    job.refresh_from_db()
    assert "counted" not in job.snapshot.content
    assert job.links_changed == {"gone": [APPLY, MAP], "new": [f"{APPLY}&c=3"]}
    assert not CountedUrl.objects.exists()


def test_a_template_that_became_text_is_sent_without_opens(template):
    """TRK-2: the mailing is not held up for it, and says so."""
    job = draft(template, scheduled_at=START)
    choose(job, urls={APPLY: "申込"}, opens=True)
    assert send_jobs.confirm(job, user=None, now=NOW)
    change(template, form="text")
    assert job_start.run(job.pk, now=START)
    job.refresh_from_db()
    assert "opens" not in job.snapshot.content
    assert job.links_changed == {"gone": [], "new": [], "opens_lost": True}


def test_changes_are_none_when_nothing_is_counted(template):
    assert changes_since(draft(template)) is None
    assert with_counting(snapshot_content(template), draft(template), campaign_id=None, user=None)[1] is None


def test_a_mailing_counts_with_few_queries(template, django_assert_num_queries):
    job = draft(template)
    choose(job, urls={APPLY: "申込", MAP: "地図"}, opens=True)
    content = snapshot_content(template)
    with django_assert_num_queries(3):
        first = with_counting(content, job, campaign_id=None, user=None)
    with django_assert_num_queries(1):
        assert with_counting(content, job, campaign_id=None, user=None) == first


def test_two_mailings_register_the_same_new_url_at_once(template, transactional_db):
    """TRK-6: one URL is one row, and neither start fails."""
    from threading import Thread

    job = draft(template)
    choose(job, urls={APPLY: "申込", MAP: "地図"}, opens=False)
    content, found = snapshot_content(template), []

    def start():
        try:
            with transaction.atomic():
                found.append(with_counting(content, job, campaign_id=None, user=None)[0]["counted"])
        finally:
            connection.close()

    others = [Thread(target=start) for _number in range(4)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert CountedUrl.objects.count() == 2


def test_another_mode_has_a_register_of_its_own(template):
    """APP-1."""
    campaign = make_campaign()
    ours = save_counted_url(None, campaign_id=None, url=APPLY, name="全体", user=None)
    theirs = save_counted_url(None, campaign_id=campaign.pk, url=APPLY, name="セミナー", user=None)
    assert ours.pk != theirs.pk
    assert list(counted_urls(campaign.pk)) == [theirs]
    assert list(counted_urls(None)) == [ours]
    with pytest.raises(CountedUrl.DoesNotExist):
        save_counted_url(theirs, campaign_id=None, url=APPLY, name="x", user=None)
    template.campaign = campaign
    template.save()
    job = make_job(template, campaign=campaign, state="draft")
    choose(job, urls={APPLY: "変更"}, opens=False)
    content, _changes = with_counting(snapshot_content(template), job, campaign_id=campaign.pk, user=None)
    assert content["counted"] == {APPLY: theirs.pk}
    ours.refresh_from_db()
    assert ours.name == "全体"


# ---- a mail that goes out again -------------------------------------------------------------------------------------


def counted_job(template):
    job = draft(template)
    choose(job, urls={APPLY: "申込", MAP: "地図"}, opens=True)
    return started(job)


def test_a_mail_tried_again_is_the_same_mail(template):
    """RSV-4, ERR-4: retries, parts to other servers, and what is sent once more by a person have the links of the first."""
    job = counted_job(template)
    delivery = _sent(job)
    before = rebuild(delivery).mail
    change(template, text_body="別の内容", html_body="別の内容")
    type(delivery).objects.filter(pk=delivery.pk).update(state="unknown", accepted=["boss@y.example"])
    send_again.send_unknown_again(job, user=None, now=timezone.now() - timedelta(minutes=1))
    (made,) = Composer().make(claim(job.pk, 5))
    assert made.row.pk == delivery.pk
    assert (made.mail.text, made.mail.html) == (before.text, before.html)
    assert made.snapshot_id == job.snapshot_id


def test_a_single_mail_counts_nothing(template):
    """RES-1: its text has the URLs as they are written, not links that count for the first mail."""
    delivery = _sent(counted_job(template))
    values = single_mail.prefill(delivery, now=START)
    assert APPLY in values["text_body"]
    assert 'href="https://x.example/apply?a=1&amp;b=2"' in values["html_body"]
    assert not re.search("/[lo]/", values["text_body"] + values["html_body"])
    type(delivery).objects.filter(pk=delivery.pk).update(
        sent_at=None
    )  # it never went out: made as it would be now
    delivery.refresh_from_db()
    assert APPLY in single_mail.prefill(delivery, now=START)["text_body"]


def test_a_look_at_a_sent_mail_is_ours(template, client):
    """TRK-4: the page shows the targets (the counted links only as text), the source what was sent."""
    delivery = _sent(counted_job(template))
    client.force_login(make_user("misaki"))
    page = client.get(f"/mail/deliveries/{delivery.pk}/").content.decode()
    assert "https://x.example/apply?a=1&amp;b=2" in page
    assert not re.search(r"""(?:href|src)=["']?[^"'\s>]*/[lo]/""", page)
    shown = client.get(f"/mail/deliveries/{delivery.pk}/html/").content.decode()
    assert "apply" in shown
    assert not re.search("/[lo]/", shown)
    source = client.get(f"/mail/deliveries/{delivery.pk}/source/").content
    assert source == rebuild(delivery).mail.data


# ---- the register ---------------------------------------------------------------------------------------------------


def test_a_registered_url_never_changes(db):
    """TRK-6: name and memo do, by a person who is written down."""
    user = make_user("misaki")
    row = save_counted_url(None, campaign_id=None, url=f" {APPLY} ", name="申込", user=user)
    assert row.url == APPLY
    with pytest.raises(ValidationError):
        save_counted_url(row, campaign_id=None, url=MAP, name="申込", user=user)
    save_counted_url(row, campaign_id=None, url=APPLY, name="申込ページ", memo="春", user=user)
    save_counted_url(row, campaign_id=None, url=APPLY, name="申込ページ", memo="春", user=user)
    row.refresh_from_db()
    assert (row.url, row.name, row.memo) == (APPLY, "申込ページ", "春")
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "counted_url.add",
        "counted_url.change",
    ]


@pytest.mark.parametrize(
    "url",
    [APPLY, "ftp://x.example/", "https://{{ 会社名 }}/", "javascript:alert(1)", "", "https://x\n.example/"],
)
def test_what_cannot_be_registered(db, url):
    save_counted_url(None, campaign_id=None, url=APPLY, name="申込", user=None)
    with pytest.raises(ValidationError):
        save_counted_url(None, campaign_id=None, url=url, name="x", user=None)


def test_an_archived_url_leaves_the_list_only(template):
    """TRK-6: its links work, and it can be counted again."""
    row = save_counted_url(None, campaign_id=None, url=APPLY, name="申込", user=None)
    archive_counted_url(row, user=None, now=NOW)
    archive_counted_url(row, user=None, now=NOW)
    assert not counted_urls(None).exists()
    assert list(counted_urls(None, archived=True)) == [row]
    assert target(NOBODY, row.pk) == APPLY
    job = draft(template)
    choose(job, urls={APPLY: "申込"}, opens=False)
    assert with_counting(snapshot_content(template), job, campaign_id=None, user=None)[0]["counted"] == {
        APPLY: row.pk
    }
    restore_counted_url(row, user=None)
    assert list(counted_urls(None)) == [row]
    assert AuditEntry.objects.filter(action="counted_url.archive").count() == 1


# ---- where a click leads --------------------------------------------------------------------------------------------


def registered(url):
    return CountedUrl.objects.create(url=url, digest=digest(url), name="x")


def test_targets_are_read_once(db, django_assert_num_queries):
    """TRK-6: a click costs no query where nothing is merged, one where something is."""
    plain, merged = registered(APPLY), registered(MAP)
    delivery = make_delivery(make_lead("a@x.example"), merge_values={"リードID": "7 &"})
    assert target(delivery.pk, plain.pk) == APPLY
    assert target(delivery.pk, merged.pk) == "https://x.example/map?id=7%20%26"
    with django_assert_num_queries(0):
        assert target(delivery.pk, plain.pk) == APPLY
    with django_assert_num_queries(1):
        assert target(delivery.pk, merged.pk) == "https://x.example/map?id=7%20%26"
    assert target(delivery.pk, 10**15) is None
    assert target(10**15, plain.pk) == APPLY


def test_links_of_nobody_have_no_values(db):
    """TEST-5: harmless."""
    assert target(NOBODY, registered(MAP).pk) == "https://x.example/map?id="


def test_the_address_in_a_target_is_that_of_the_mail(db):
    """TGT-2: as in its text."""
    row = registered("https://x.example/?m={{ メールアドレス }}")
    delivery = make_delivery(
        make_lead("a@x.example"), address="b+c@x.example", merge_values={"メールアドレス": "a@x.example"}
    )
    assert target(delivery.pk, row.pk) == "https://x.example/?m=b%2Bc%40x.example"


def test_a_url_that_cannot_be_filled_leads_nowhere(db):
    row = registered("https://x.example/?v={{ 会社名 }}")
    delivery = make_delivery(make_lead("a@x.example"), merge_values={"会社名": "あ" * 20_000})
    assert target(delivery.pk, row.pk) is None


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://日本語.example:8443/パス?q=あ&r=%41#節", "https://xn--wgv71a119e.example:8443/%E3%83%91%E3%82%B9?q=%E3%81%82&r=%41#%E7%AF%80"),
        ("https://x.example/a|b^c?d=[1]&e='f'", "https://x.example/a%7Cb%5Ec?d=[1]&e='f'"),
        ("HTTPS://X.example", "HTTPS://X.example"),
        ("https://[2001:db8::1]:80/?a", "https://[2001:db8::1]:80/?a"),
    ],
)  # fmt: skip
def test_what_stands_in_the_location_field(url, sent):
    assert location(url) == sent


def test_the_memory_for_urls_is_bounded(db, monkeypatch):
    monkeypatch.setattr("mail.click_target.KEPT", 2)
    assert KEPT > 1_000
    rows = [registered(f"https://x.example/{number}") for number in range(4)]
    for row in rows * 2:
        assert target(NOBODY, row.pk) == row.url
    from mail import click_target

    assert len(click_target._kept) == 2


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_counts_everything_that_can_be_counted(template, capsys):
    """TRK-1."""
    import json

    lead = make_lead("a@x.example")
    at = (timezone.now() + timedelta(days=1)).isoformat()
    call_command(
        "send",
        template=template.pk,
        leads=str(lead.pk),
        at=at,
        count_clicks=True,
        count_opens=True,
        json=True,
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["counted_urls"] == [{"url": APPLY, "name": "申し込む"}, {"url": MAP, "name": "地図"}]
    assert answer["count_opens"] is True
    call_command("job", answer["job"], json=True)
    assert json.loads(capsys.readouterr().out)["counted_urls"] == answer["counted_urls"]


def test_the_command_refuses_opens_of_text(template, capsys):
    """TRK-2."""
    change(template, form="text")
    with pytest.raises(CommandError):
        call_command("send", template=template.pk, leads=str(make_lead("a@x.example").pk), count_opens=True)
    assert not SendJob.objects.exists()
