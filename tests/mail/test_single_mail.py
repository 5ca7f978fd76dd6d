"""RES-1..3: one mail again; and "retry the failed ones" of a job."""

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from mail import send_again, single_mail
from mail.links import opt_out_url
from mail.message import take_snapshot
from mail.models import Delivery, SendingDomain
from mail.models.template import TemplateAttachment
from mail.send_jobs import Refused
from settings.models import AuditEntry, Role
from tests.factories import make_delivery, make_job, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    user = make_user()
    client.force_login(user)
    return user


def sent_delivery(lead=None, *, template=None, state="sent", **values):
    lead = lead or make_lead()
    template = template or make_template()
    job = make_job(template, state="done", snapshot=take_snapshot(template))
    values.setdefault(
        "merge_values", {"姓": "髙橋", "氏名": "髙橋 𠮷男", "配信停止URL": opt_out_url(lead.pk)}
    )
    values.setdefault("sent_at", timezone.now())
    return make_delivery(lead, job=job, state=state, snapshot=job.snapshot, **values)


def filled(response, **changes):
    """What a browser would post of the form that was shown."""
    form = response.context["form"]
    values = {name: form[name].value() for name in form.fields if name != "files"}
    values = {name: value for name, value in values.items() if value not in (None, False)}
    return values | changes


def open_form(client, delivery):
    response = client.get(reverse("single_mail", args=[delivery.pk]))
    assert response.status_code == 200
    return response


def test_the_whole_way(client, admin, django_capture_on_commit_callbacks):
    """RES-1, RES-2: 詳細 → 再送信 → 送信内容確認 → メール送信 → done; recorded as a single mail, not as the job's."""
    original = sent_delivery(template=make_template(cc="staff@seminar.example.jp"))
    detail = client.get(reverse("delivery", args=[original.pk])).content.decode()
    assert reverse("single_mail", args=[original.pk]) in detail
    form = open_form(client, original)
    values = filled(form)
    assert values["subject"] == "髙橋様へ 製造業DXセミナーのご案内"
    assert values["to"] == "yoshio@yamate.example.jp"
    assert values["cc"] == "staff@seminar.example.jp"
    assert values["from_name"] == "SMPセミナー事務局"
    assert "髙橋 𠮷男 様" in values["text_body"]
    checked = client.post(
        reverse("single_mail", args=[original.pk]), values | {"subject": "再送: {{ 姓 }} {% 100 %} ①㈱😀"}
    )
    assert checked.status_code == 302
    confirmation = client.get(checked["Location"])
    shown = confirmation.content.decode()
    assert "再送: {{ 姓 }} {% 100 %} ①㈱😀" in shown
    assert not Delivery.objects.filter(kind="single").exists(), "a look sends nothing"
    done = client.post(checked["Location"])
    single = Delivery.objects.get(kind="single")
    assert done["Location"] == reverse("single_mail_done", args=[single.pk])
    assert client.get(done["Location"]).status_code == 200
    assert (single.job_id, single.lead_id, single.state) == (None, original.lead_id, "queued")
    assert single.original_id == original.pk
    assert single.template_id == original.template_id
    assert AuditEntry.objects.filter(action="delivery.resend", target_id=str(single.pk)).exists()
    again = client.post(checked["Location"])
    assert again["Location"] == done["Location"], "RSV-5: pressed twice it is one mail"
    assert Delivery.objects.filter(kind="single").count() == 1
    assert str(original.pk) in client.get(reverse("delivery", args=[single.pk])).content.decode()


def test_the_address_of_today_is_marked(client, admin):
    """RES-3: 宛先 is the lead's present address, and the screen says that it differs."""
    lead = make_lead("old@yamate.example.jp")
    original = sent_delivery(lead, state="error", code=42550, cause="no_mailbox")
    lead.email = lead.email_norm = "new@yamate.example.jp"
    lead.save()
    response = open_form(client, original)
    assert response.context["form"]["to"].value() == "new@yamate.example.jp"
    assert "old@yamate.example.jp" in response.content.decode()


def test_a_mail_that_never_went_out_is_made_for_the_screen(client, admin):
    """RES-1: refused before its data, there is no sent mail to copy; it is made from the job's snapshot."""
    original = sent_delivery(state="error", code=42550, merge_values=None, sent_at=None)
    values = filled(open_form(client, original))
    assert values["subject"] == "髙橋様へ 製造業DXセミナーのご案内"


@pytest.mark.parametrize("state", ["reserved", "queued", "deferred", "claimed", "handing_over"])
def test_a_mail_still_on_its_way_is_not_sent_again(client, admin, state):
    """RES-1: it goes out by itself; neither the button nor the screen would make it two."""
    original = sent_delivery(state=state)
    resend = reverse("single_mail", args=[original.pk])
    assert resend not in client.get(reverse("delivery", args=[original.pk])).content.decode()
    assert client.get(resend)["Location"] == reverse("delivery", args=[original.pk])
    with pytest.raises(single_mail.NotResendable):
        single_mail.prefill(original, now=timezone.now())


def test_text_is_sent_as_typed():
    """RES-1: what looks like a merge field in a single mail is text."""
    original = sent_delivery()
    values = single_mail.prefill(original, now=timezone.now())
    odd = "{{ 姓 }} {% if x %}{# c #}{{{ {{{{ {%% }} '{{' " + opt_out_url(original.lead_id)
    draft = single_mail.write_draft(
        original,
        values | {"text_body": odd, "subject": "{{{% 件名 %}}}"},
        kept=(), files=(), attachments=(), now=timezone.now(),
    )  # fmt: skip
    mail = single_mail.draft_mail(draft, now=timezone.now())
    assert mail.text == odd + "\n"
    assert mail.subject == "{{{% 件名 %}}}"
    assert single_mail.draft_values(draft)["text_body"] == odd


def test_html_and_multipart(client, admin):
    """RES-2: HTML形式, the text part only with 「マルチパートメール」; the preview runs nothing."""
    html = "<p>{{ 氏名 }} 様 &amp; <b>御社</b></p><p>配信停止 {{ 配信停止URL }}</p>"
    original = sent_delivery(
        make_lead(last_name="<script>alert(1)</script>"),
        template=make_template(form="multipart", html_body=html),
    )
    values = filled(open_form(client, original))
    assert values["form"] == "html"
    assert values["multipart"] is True
    without = {name: value for name, value in values.items() if name != "multipart"}
    checked = client.post(reverse("single_mail", args=[original.pk]), without)
    frame = re.search(r'src="([^"]*resend/html[^"]*)"', client.get(checked["Location"]).content.decode())
    part = client.get(frame[1].replace("&amp;", "&"))
    assert "sandbox" in part["Content-Security-Policy"]
    assert "髙橋 𠮷男 様 &amp; <b>御社</b>" in part.content.decode()
    client.post(checked["Location"])
    single = Delivery.objects.get(kind="single")
    assert single.snapshot.content["form"] == "html"
    assert single.snapshot.content["text_body"] == values["text_body"].replace("\r\n", "\n")


def test_attachments_stay_go_and_come(client, admin):
    """RES-2 「添付ファイル」: the original's are offered, can be left out, and new ones added."""
    template = make_template()
    for number, name in enumerate(("案内.pdf", "地図.png")):
        TemplateAttachment.objects.create(
            template=template,
            file_name=name,
            content_type="application/pdf",
            size=3,
            content=b"ab%d" % number,
        )
    original = sent_delivery(template=template)
    values = filled(open_form(client, original), kept=["1"])
    values["files"] = SimpleUploadedFile("髙﨑①.txt", "こんにちは".encode(), "text/plain")
    checked = client.post(reverse("single_mail", args=[original.pk]), values)
    page = client.get(checked["Location"]).content.decode()
    assert "地図.png" in page
    assert "髙﨑①.txt" in page
    assert "案内.pdf" not in page
    back = client.get(re.search(r'href="([^"]*resend/\?draft[^"]*)"', page)[1].replace("&amp;", "&"))
    assert [label for _key, label in back.context["form"].fields["kept"].choices] == [
        "地図.png (3 bytes)",
        "髙﨑①.txt (15 bytes)",
    ]


def test_files_that_are_too_large_are_named(client, admin):
    """RES-2: 4 MB is refused beside the field, and nothing is kept."""
    original = sent_delivery()
    values = filled(open_form(client, original))
    values["files"] = SimpleUploadedFile("大きい.bin", b"x" * 4_000_000)
    response = client.post(reverse("single_mail", args=[original.pk]), values)
    assert response.status_code == 422
    assert "大きい.bin" in str(response.context["form"].errors["files"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": "a@example.jp; b@example.jp"}, "to"),
        ({"to": "nobody"}, "to"),
        ({"to": "a@example.jp\nBcc: evil@example.jp"}, "to"),
        ({"from_address": "a@seminar.example.jp,b@seminar.example.jp"}, "from_address"),
        ({"cc": "{{ メールアドレス }}"}, "cc"),
        ({"subject": " "}, "subject"),
        ({"text_body": "  "}, "text_body"),
        ({"text_body": "配信停止のURLがありません"}, "text_body"),
        ({"cc": "a@example.jp," * 90}, "cc"),
    ],
)
def test_mistakes_stand_beside_their_field(client, admin, changes, field):
    """RES-2, ADDR-1, ADDR-2, LAW-1."""
    original = sent_delivery()
    values = filled(open_form(client, original), **changes)
    response = client.post(reverse("single_mail", args=[original.pk]), values)
    assert response.status_code == 422
    assert field in response.context["form"].errors


def test_the_sending_domain_and_the_sender_belong_together(client, admin):
    """RES-2 「送信ドメイン」."""
    SendingDomain.objects.create(name="example.jp")
    SendingDomain.objects.create(name="other.example")
    original = sent_delivery()
    response = open_form(client, original)
    assert response.context["form"]["sending_domain"].value() == "example.jp"
    values = filled(response, sending_domain="other.example")
    refused = client.post(reverse("single_mail", args=[original.pk]), values)
    assert "from_address" in refused.context["form"].errors


def test_advertising_never_goes_to_people_who_opted_out(client, admin):
    """RES-1, OPT-6: neither at the check nor when the opt-out comes between check and button."""
    original = sent_delivery()
    values = filled(open_form(client, original))
    checked = client.post(reverse("single_mail", args=[original.pk]), values)
    lead = original.lead
    lead.unsubscribed_at, lead.dm_permission = timezone.now(), "unwanted"
    lead.save()
    client.post(checked["Location"])
    assert not Delivery.objects.filter(kind="single").exists()
    assert client.post(reverse("single_mail", args=[original.pk]), values).status_code == 422


def test_a_notice_may_go_to_them():
    """OPT-3: a 事務連絡 may be sent again, with a warning."""
    lead = make_lead(dm_permission="unwanted")
    original = sent_delivery(lead, template=make_template(purpose="notice"))
    assert single_mail.refused_because(lead, {"purpose": "notice"}) == ""
    assert any(
        "希望しない" in line or "does not want" in line for line in single_mail.warnings(original, lead.email)
    )


def test_a_forged_or_foreign_draft_is_nothing(client, admin):
    """RES-1: the token of a confirmation page belongs to one mail and cannot be made up."""
    one, other = sent_delivery(), sent_delivery(make_lead("b@example.jp"))
    checked = client.post(reverse("single_mail", args=[one.pk]), filled(open_form(client, one)))
    token = checked["Location"].partition("draft=")[2]
    for wrong in (token[:-2] + "xx", "", "a" * 500):
        response = client.post(reverse("single_mail_confirm", args=[one.pk]) + f"?draft={wrong}")
        assert response["Location"] == reverse("single_mail", args=[one.pk])
    client.post(reverse("single_mail_confirm", args=[other.pk]) + f"?draft={token}")
    assert not Delivery.objects.filter(kind="single").exists()


def test_viewers_and_test_mails(client):
    """RES-1, SYS-1: viewers may not; a test mail went to no lead."""
    original = sent_delivery()
    test_mail = make_delivery(None, kind="test", state="sent")
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.get(reverse("single_mail", args=[original.pk])).status_code == 403
    client.force_login(make_user())
    assert client.get(reverse("single_mail", args=[test_mail.pk])).status_code == 302
    assert client.get(reverse("single_mail", args=[10**18])).status_code == 404


# ---- retry the failed ones


def failed(job, number, **values):
    return make_delivery(
        make_lead(f"lead{number}@example.jp"), job=job, state="error", snapshot=job.snapshot, **values
    )


def done_job():
    template = make_template()
    return make_job(template, state="done", snapshot=take_snapshot(template), finished_at=timezone.now())


def test_only_what_can_pass_is_tried_again():
    """RES-1 (retry the failed ones), ERR-3: by cause; the rest stays as it is, and the counts still add up."""
    job, now = done_job(), timezone.now()
    passing = [
        failed(job, 1, code=42452, cause="full"),
        failed(job, 2, code=41606, cause="temporary", attempts=40, first_attempt_at=now - timedelta(days=2)),
        failed(job, 3, code=90000, cause="full", accepted=["lead3@example.jp"]),
        failed(job, 4, code=42550, cause="ours"),
        failed(job, 5, code=41606, cause=""),
        failed(job, 6, code=41605, cause="other"),
    ]
    for number, values in enumerate(
        [
            {"code": 42550, "cause": "no_mailbox"}, {"code": 42554, "cause": "refused"},
            {"code": 41605, "cause": "no_host"}, {"code": None, "cause": ""}, {"code": 42552, "cause": "size"},
        ],
        start=10,
    ):  # fmt: skip
        failed(job, number, **values)
    invalid = failed(job, 20, code=42452, cause="full")
    invalid.lead.email_valid = False
    invalid.lead.save()
    assert send_again.count_retryable(job) == len(passing)
    assert send_again.retry_failed(job, user=None, now=now) == len(passing)
    queued = Delivery.objects.filter(job=job, state="queued").order_by("pk")
    assert list(queued) == passing
    assert {(row.again, row.attempts, row.token, row.first_attempt_at) for row in queued} == {
        (1, 0, None, None)
    }
    assert Delivery.objects.get(pk=passing[2].pk).accepted == []
    job.refresh_from_db()
    assert (job.state, job.finished_at) == ("sending", None)
    with pytest.raises(Refused):
        send_again.retry_failed(job, user=None, now=now)


def test_a_stopped_job_stays_stopped():
    job = done_job()
    failed(job, 1, code=42452, cause="full")
    job.state = "stopped"
    job.save()
    with pytest.raises(Refused):
        send_again.retry_failed(job, user=None, now=timezone.now())


def test_the_button_asks_first(client, admin):
    """GET changes nothing; the confirmation says how many."""
    job = done_job()
    failed(job, 1, code=42452, cause="full")
    assert (
        reverse("job_retry_failed", args=[job.pk])
        in client.get(reverse("job", args=[job.pk])).content.decode()
    )
    page = client.get(reverse("job_retry_failed", args=[job.pk]))
    assert page.context["mails"] == 1
    assert Delivery.objects.filter(job=job, state="error").count() == 1
    client.post(reverse("job_retry_failed", args=[job.pk]))
    assert Delivery.objects.filter(job=job, state="queued").count() == 1
    assert AuditEntry.objects.filter(action="job.retry_failed").exists()
    gone = client.get(reverse("job_retry_failed", args=[job.pk]))
    assert gone.status_code == 302
