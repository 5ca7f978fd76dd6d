"""「テンプレート一覧」, the editor, the preview, 「メール設定」: what people see and who may do what."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from leads.models import LeadColumn
from mail.models import MailSettings, MailTemplate, TemplateAttachment
from mail.templates import clean_file_name, listed_templates
from settings.models import AuditEntry
from settings.system_settings import SystemSetting
from tests.factories import LEGAL_FOOTER, make_job, make_lead, make_template, make_user


@pytest.fixture
def misaki(client, db):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def yui(client, db):
    user = make_user("yui", role="viewer")
    client.force_login(user)
    return user


def form_data(**values):
    return {
        "name": "夏のご案内", "subject": "{{ 姓 }}様へ", "form": "text", "purpose": "advertising", "charset": "utf-8",
        "to": "{{ メールアドレス }}", "from_address": "info@seminar.example.jp", "from_name": "事務局", "cc": "", "bcc": "",
        "reply_to": "", "errors_to": "", "text_body": "本文\r\n" + LEGAL_FOOTER, "html_body": "", "seen_at": "",
    } | values  # fmt: skip


def test_a_template_is_written_and_shown(client, misaki):
    make_lead(last_name="髙橋")
    response = client.post(reverse("template_new"), form_data())
    template = MailTemplate.objects.get()
    assert response.headers["Location"] == reverse("template", args=[template.pk])
    assert template.text_body.startswith("本文\n") and "\r" not in template.text_body
    assert (template.created_by, template.updated_by) == (misaki, misaki)
    page = client.get(response.headers["Location"]).content.decode()
    assert "髙橋様へ" in page and "問題なし" in page
    assert AuditEntry.objects.get().action == "template.create"


def test_new_templates_start_from_the_mail_settings(client, misaki):
    """NAV-2."""
    values = {
        "from_address": "news@seminar.example.jp",
        "from_name": "広報",
        "cc": "a@b.example.jp, c@b.example.jp",
        "bcc": "",
        "reply_to": "{{ メールアドレス }}",
        "errors_to": "",
    }
    response = client.post(reverse("mail_settings_edit", args=["template"]), values)
    assert response.headers["Location"] == reverse("mail_settings")
    assert "news@seminar.example.jp" in client.get(reverse("mail_settings")).content.decode()
    form = client.get(reverse("template_new")).context["form"]
    shown = {name: form[name].value() for name in values}
    assert shown == values
    assert AuditEntry.objects.get().action == "mail_settings.change"


def test_automatic_mails_can_be_switched_off(client, misaki):
    """NAV-2: ON/OFF exists for automatic mails only; the template's defaults are always ON."""
    client.post(reverse("mail_settings_edit", args=["received"]), {"from_address": "a@b.example.jp"})
    client.post(reverse("mail_settings_edit", args=["template"]), {"from_address": "a@b.example.jp"})
    assert dict(MailSettings.objects.values_list("kind", "enabled")) == {"received": False, "template": True}
    assert "OFF" in client.get(reverse("mail_settings")).content.decode()
    assert client.get(reverse("mail_settings_edit", args=["nothing"])).status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "text_body",
            "一\r\n{{ 会社 }}",
            "2行目: 「会社」という差込み項目はありません。「会社名」ではありませんか?",
        ),
        ("subject", "{{ 姓", "1行目: 「{{」が「}}」で閉じられていません。"),
        ("from_address", "a@b.example.jp,c@d.example.jp", "入力形式を確認してください。"),
        ("errors_to", "a@b.example.jp;c@d.example.jp", "入力形式を確認してください。"),
        ("cc", "a@b.example.jp、c@d.example.jp", "入力形式を確認してください。"),
        ("bcc", "x" * 1001, "1000文字以内で入力してください(現在1001文字)。"),
        ("from_address", "x" * 400 + "@b.example.jp", "320文字以内で入力してください(現在413文字)。"),
        ("to", "{% if 姓 %}a@b.example.jp{% endif %}", "入力形式を確認してください。"),
    ],
)
def test_mistakes_are_said_beside_the_field(client, misaki, field, value, message):
    """ADDR-1, ADDR-2, and merge errors with their line."""
    response = client.post(reverse("template_new"), form_data(**{field: value}))
    assert response.status_code == 200
    assert response.context["form"].errors[field] == [message]
    assert response.context["form"][field].value() == value
    assert MailTemplate.objects.count() == 0


def test_a_field_takes_a_thousand_characters(client, misaki):
    """ADDR-1: as typed, with the merge fields unexpanded."""
    text = "{{ メールアドレス }}," + "a" * 60 + "@b.example.jp"
    text += "".join(f",n{n:03}@b.example.jp" for n in range(200))
    text = text[:1000]
    text = text[: text.rindex(",")] + ","
    text += "z" * (1000 - len(text) - 5) + "@b.jp"
    assert len(text) == 1000
    response = client.post(reverse("template_new"), form_data(cc=text))
    assert response.status_code == 302, response.context["form"].errors
    assert MailTemplate.objects.get().cc == text


def test_two_administrators_at_once(client, misaki):
    template = make_template()
    seen = template.updated_at.isoformat()
    kenta = make_user("kenta")
    MailTemplate.objects.filter(pk=template.pk).update(
        subject="健太の件名", updated_by=kenta, updated_at=timezone.now()
    )
    response = client.post(
        reverse("template_edit", args=[template.pk]), form_data(seen_at=seen, subject="美咲の件名")
    )
    assert response.status_code == 200
    assert "鈴木 健太さん" in response.context["form"].non_field_errors()[0]
    assert MailTemplate.objects.get().subject == "健太の件名"
    # The text is still there, and saving once more overwrites knowingly.
    again = response.context["form"]
    assert again["subject"].value() == "美咲の件名"
    client.post(
        reverse("template_edit", args=[template.pk]),
        form_data(seen_at=again["seen_at"].value(), subject="美咲の件名"),
    )
    assert MailTemplate.objects.get().subject == "美咲の件名"


def test_attachments_are_added_removed_and_limited(client, misaki):
    template = make_template()
    url = reverse("template_edit", args=[template.pk])

    def post(**values):
        template.refresh_from_db()
        return client.post(url, form_data(seen_at=template.updated_at.isoformat(), **values))

    files = [
        SimpleUploadedFile("..\\..\\ご案内\u202e.pdf", b"x" * 10, "application/pdf"),
        SimpleUploadedFile("a.html", b"<script>", "text/html"),
    ]
    assert post(files=files).status_code == 302
    names = {file.file_name: file for file in TemplateAttachment.objects.all()}
    assert set(names) == {"ご案内.pdf", "a.html"}
    download = client.get(reverse("template_attachment", args=[template.pk, names["a.html"].pk]))
    assert download.headers["Content-Type"] == "application/octet-stream"
    assert download.headers["Content-Disposition"].startswith("attachment;")
    assert post(removed=[names["a.html"].pk]).status_code == 302
    assert [file.file_name for file in template.attachments.all()] == ["ご案内.pdf"]
    response = post(files=[SimpleUploadedFile("big.bin", b"x" * 3_000_001)])
    assert "3MB" in response.context["form"].errors["files"][0]
    SystemSetting.objects.create(key="attachments_limit_mb", value=1)
    response = post(files=[SimpleUploadedFile("b.bin", b"x" * 1_000_000)])
    assert "合計1MB" in response.context["form"].errors["files"][0]
    assert template.attachments.count() == 1
    # A file of another template is not reachable through this one.
    other = make_template("other")
    assert (
        client.get(reverse("template_attachment", args=[other.pk, names["ご案内.pdf"].pk])).status_code == 404
    )


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.txt", "b.txt"),
        ("a\r\nb\0.txt", "ab.txt"),
        ("", "file"),
        ("...", "file"),
        ('a"b<c>.txt', "a_b_c_.txt"),
        ("か\u3099.pdf", "が.pdf"),
        ("x" * 300 + ".pdf", "x" * 96 + ".pdf"),
    ],
)
def test_file_names_are_made_harmless(name, clean):
    assert clean_file_name(name) == clean


def test_copying_takes_attachments_along(client, misaki):
    template = make_template(cc="a@b.example.jp")
    TemplateAttachment.objects.create(
        template=template, file_name="a.txt", content_type="text/plain", size=1, content=b"a"
    )
    client.post(reverse("template_copy", args=[template.pk]))
    copy = MailTemplate.objects.exclude(pk=template.pk).get()
    assert (copy.name, copy.cc, copy.attachments.get().file_name) == (
        f"{template.name} のコピー",
        "a@b.example.jp",
        "a.txt",
    )


def test_archiving_waits_for_reservations(client, misaki):
    template = make_template()
    job = make_job(template, state="reserved", scheduled_at=timezone.now() + timedelta(hours=3))
    url = reverse("template_archive", args=[template.pk])
    assert "先に予約を削除してください" in client.post(url, follow=True).content.decode()
    job.state = "deleted"
    job.save()
    client.post(url)
    template.refresh_from_db()
    assert template.archived_at is not None
    assert template.name not in client.get(reverse("templates")).content.decode()
    assert template.name in client.get(reverse("templates"), {"archived": "on"}).content.decode()
    client.post(reverse("template_restore", args=[template.pk]))
    assert template.name in client.get(reverse("templates")).content.decode()


@pytest.mark.parametrize(("hours", "soon"), [(3, False), (0.4, True)])
def test_a_reservation_that_uses_the_template_is_said(client, misaki, hours, soon):
    """RSV-1: changes take effect until the start; from thirty minutes before, a warning."""
    template = make_template()
    make_job(template, state="reserved", scheduled_at=timezone.now() + timedelta(hours=hours))
    for name in ("template", "template_edit"):
        page = client.get(reverse(name, args=[template.pk])).content.decode()
        assert ("30分以内にこのテンプレートの送信が始まります。" in page) is soon
        assert ("送信予約がこのテンプレートを使っています。" in page) is not soon


def test_the_preview_frame_runs_nothing(client, misaki):
    """The merged HTML comes from its own address, under a policy without scripts, in a frame with an empty sandbox."""
    lead = make_lead(company="<b>山手</b>")
    html = '<script>alert(1)</script><p>{{ 会社名 }}</p><form action="https://evil.example">'
    template = make_template(form="html", html_body=html)
    page = client.get(reverse("template", args=[template.pk])).content.decode()
    assert f'sandbox="" title="メールのHTML部分" src="{reverse("template_html", args=[template.pk])}"' in page
    assert "alert(1)" not in page
    frame = client.get(reverse("template_html", args=[template.pk]), {"lead": lead.pk})
    assert frame.headers["Content-Security-Policy"] == (
        "default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    )
    assert "<p>&lt;b&gt;山手&lt;/b&gt;</p>" in frame.content.decode()


def test_the_preview_takes_any_lead(client, misaki):
    """By ID, address or name; without one the lead a test mail would use (TEST-2)."""
    old = make_lead(
        "old@b.example.jp",
        last_name="佐々木",
        first_name="花子",
        created_at=timezone.now() - timedelta(days=9),
    )
    make_lead("new@b.example.jp", last_name="伊藤")
    template = make_template(subject="{{ 姓 }}様")
    url = reverse("template", args=[template.pk])
    assert client.get(url).context["mail"].subject == "伊藤様"
    for words in (str(old.pk), "OLD@b.example.jp", "佐々木 花子", "佐々木\u3000花子"):
        assert client.get(url, {"lead": words}).context["mail"].subject == "佐々木様"
    for words in ("nobody", "9" * 30, "\0", "-1", "１"):
        assert client.get(url, {"lead": words}).status_code == 200


def test_the_preview_without_leads_shows_blanks(client, misaki):
    """TEST-4."""
    template = make_template(form="multipart", html_body="<p>{{ 姓 }}</p>", subject="{{ 姓 }}様")
    response = client.get(reverse("template", args=[template.pk]))
    assert response.context["mail"].subject == "様"
    assert "合うリードがない" in response.content.decode()
    framed = client.get(reverse("template_html", args=[template.pk])).content.decode()
    assert framed == '<p></p>\n<base target="_blank">'


def test_a_broken_template_is_shown_with_its_reason(client, misaki):
    template = make_template(text_body="{{ 姓")
    page = client.get(reverse("template", args=[template.pk])).content.decode()
    assert "1行目: 「{{」が「}}」で閉じられていません。" in page
    assert client.get(reverse("template_html", args=[template.pk])).content == b""


def test_the_picker_names_every_merge_field(client, misaki):
    LeadColumn.objects.create(label="参加 人数", type="number")
    column = LeadColumn.objects.get()
    page = client.get(reverse("template_new")).content.decode()
    for name in ("姓", "配信停止URL", "今日", f"項目_{column.pk}"):
        assert f'data-insert="{{{{ {name} }}}}"' in page


def test_the_purpose_is_explained_where_it_is_chosen(client, misaki):
    """OPT-4, CHR-1: the editor says what the choice means."""
    page = client.get(reverse("template_new")).content.decode()
    assert "「希望しない」人には送れません" in page
    assert "使えない文字を含むメールだけがUTF-8で送られます" in page


def test_a_viewer_looks_but_changes_nothing(client, yui):
    template = make_template()
    for name in ("templates", "mail_settings"):
        assert client.get(reverse(name)).status_code == 200
    page = client.get(reverse("template", args=[template.pk]))
    assert page.status_code == 200
    assert reverse("template_edit", args=[template.pk]) not in page.content.decode()
    for name in ("template_edit", "template_test_send"):
        assert client.get(reverse(name, args=[template.pk])).status_code == 403
    for name in (
        "template_edit",
        "template_copy",
        "template_archive",
        "template_restore",
        "template_test_send",
    ):
        assert client.post(reverse(name, args=[template.pk]), form_data()).status_code == 403
    assert client.post(reverse("template_new"), form_data()).status_code == 403
    assert client.post(reverse("mail_settings_edit", args=["template"]), {}).status_code == 403
    assert list(MailTemplate.objects.values_list("subject", "archived_at")) == [(template.subject, None)]


def test_reading_changes_nothing(client, misaki):
    template = make_template()
    for name in ("template_copy", "template_archive", "template_restore"):
        assert client.get(reverse(name, args=[template.pk])).status_code == 405


def test_the_list_searches_sorts_and_counts(client, misaki):
    first = make_template("あ", subject="春", purpose="notice")
    second = make_template("い", subject="夏")
    make_job(second, state="done", started_at=timezone.now(), counts={"state": {"sent": 40, "error": 2}})
    make_job(second, state="done", started_at=timezone.now(), counts={"state": {"sent": 2}})
    make_job(second, state="reserved", scheduled_at=timezone.now(), counts={"state": {"sent": 9}})
    make_job(first, state="draft")
    rows = {row.pk: row for row in listed_templates()}
    assert (rows[second.pk].sent_count, rows[second.pk].job_count) == (42, 2)
    assert (rows[first.pk].sent_count, rows[first.pk].last_used_at) == (0, None)

    def shown(**query):
        return [template.name for template in client.get(reverse("templates"), query).context["templates"]]

    assert shown(q="夏") == ["い"]
    assert shown(purpose="notice") == ["あ"]
    assert shown(form="html") == []
    assert shown(sort="name") == ["あ", "い"] and shown(sort="-name") == ["い", "あ"]
    assert set(shown(sort="password", page="x", form="nonsense")) == {"あ", "い"}


def test_the_list_costs_the_same_for_one_row_and_three(client, misaki, django_assert_num_queries):
    make_template("1", updated_by=misaki)
    client.get(reverse("templates"))

    def count():
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("templates"))
        return len(queries)

    one = count()
    for name in "23":
        template = make_template(name, updated_by=make_user(f"u{name}"))
        make_job(template, state="done", started_at=timezone.now(), counts={"state": {"sent": 1}})
    assert count() == one


def test_a_new_template_brings_what_the_law_asks_for(client, misaki):
    """LAW-1, NAV-2: once the organisation is set, a new template passes the check as it is but for its subject."""
    assert client.get(reverse("template_new")).context["form"]["text_body"].value() == ""
    for key, value in {
        "legal_name": "株式会社<山手>",
        "legal_address": "〒100-0005\n東京都千代田区丸の内1-1-1",
        "legal_contact": "03-1234-5678",
    }.items():
        SystemSetting.objects.create(key=key, value=value)
    form = client.get(reverse("template_new")).context["form"]
    bodies = {name: form[name].value() for name in ("text_body", "html_body")}
    assert "株式会社&lt;山手&gt;<br>" in bodies["html_body"]
    client.post(reverse("template_new"), form_data(form="multipart", **bodies))
    page = client.get(reverse("template", args=[MailTemplate.objects.get().pk])).content.decode()
    assert "問題なし" in page


def test_what_the_law_asks_for_can_be_copied_and_set_once(client, misaki):
    """LAW-1: a template that says too little shows the lines to add, and where they are set for all new templates."""
    SystemSetting.objects.create(key="legal_name", value="株式会社エスエムピー")
    lacking = make_template(text_body="本文だけ", html_body="")
    page = client.get(reverse("template", args=[lacking.pk])).content.decode()
    assert "送信者: 株式会社エスエムピー" in page
    assert reverse("edit_system_setting", args=["legal_address"]) in page
    complete = make_template(text_body="本文\n" + LEGAL_FOOTER, form="text", html_body="")
    assert (
        reverse("edit_system_setting", args=["legal_address"])
        not in client.get(reverse("template", args=[complete.pk])).content.decode()
    )
