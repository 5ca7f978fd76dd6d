"""The demo inbox over the wire, and its pages with hostile mails."""

import io
import smtplib
import time
import urllib.error
import urllib.request
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mail import sending_domains
from smp.demo import inbox, zones
from smp.demo.dns_server import DnsServer
from smp.demo.smtp_server import MailFolder, Rules, SmtpServer
from tests.factories import make_user

SENDER = "b.1.abc@bounce.smp.example"


@pytest.fixture
def server(tmp_path):
    with SmtpServer(tmp_path, rules=inbox.InboxRules("127.0.0.1:1")) as server:
        yield server


@pytest.fixture
def pages(settings, tmp_path, client, db):
    """The inbox of tmp_path, and somebody who may look."""
    settings.ROOT_URLCONF = "tests.demo.inbox_urls"
    settings.DEMO_INBOX_FOLDER = str(tmp_path)
    client.force_login(make_user("yui", role="viewer"))
    return client


def connect(server):
    return smtplib.SMTP(server.host, server.port, timeout=10)


def hostile_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "SMPセミナー事務局 <info@seminar.example.jp>"
    mail["To"] = "髙﨑 𠮷男 <yoshio@yamate.example.jp>"
    mail["Subject"] = "<script>alert(1)</script> ご案内😀"
    mail["List-Unsubscribe"] = "<mailto:out@smp.example>, <http://127.0.0.1:8000/u/abc/>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content("本文です https://seminar.example.jp/form?a=1&b=2 をご覧ください。")
    mail.add_alternative(
        '<script>alert(2)</script><p>髙橋様</p><a href="https://seminar.example.jp/map">会場 <b>地図</b></a>'
        '<a href="javascript:alert(3)">悪</a>',
        subtype="html",
    )
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="受講票.pdf")
    return mail


def keep(folder, mail: EmailMessage | bytes) -> str:
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    return MailFolder(folder).keep(sender=SENDER, recipients=["a@example.jp"], raw=raw, peer="test").id


# ---- the server


def test_mail_is_on_disk_byte_for_byte_when_the_answer_comes(server):
    with connect(server) as connection:
        connection.ehlo()
        assert {"8bitmime", "smtputf8", "size"} <= set(connection.esmtp_features)
        connection.sendmail(
            SENDER, ["a@example.jp", "b@example.jp"], b"Subject: x\r\n\r\n.dot\r\n\xe6\x9c\xac\r\n"
        )
        [mail] = server.folder.mails()
    assert (mail.sender, mail.recipients) == (SENDER, ("a@example.jp", "b@example.jp"))
    assert mail.raw == b"Subject: x\r\n\r\n.dot\r\n\xe6\x9c\xac\r\n"


def test_folder_and_file_are_synced_before_the_answer(server, monkeypatch):
    synced = []
    monkeypatch.setattr("smp.demo.smtp_server.os.fsync", lambda descriptor: synced.append(descriptor))
    with connect(server) as connection:
        connection.sendmail(SENDER, ["a@example.jp"], b"Subject: x\r\n\r\nx\r\n")
    assert len(synced) == 2


@pytest.mark.parametrize(
    ("address", "code", "enhanced"),
    [("x@unknown.example", 550, b"5.1.1"), ("x@FULL.example", 452, b"4.2.2")],
)
def test_refuses_the_domains_with_a_trick_at_rcpt(server, address, code, enhanced):
    with connect(server) as connection:
        connection.ehlo()
        connection.mail(SENDER)
        answer, text = connection.rcpt(address)
        assert (answer, text.split()[0]) == (code, enhanced)
        assert connection.rcpt("x@notunknown.example")[0] == 250


def test_later_domain_accepts_and_reports_to_the_envelope_sender(tmp_path):
    with (
        SmtpServer(tmp_path / "intake") as intake,
        SmtpServer(tmp_path / "inbox", rules=inbox.InboxRules(intake.address, report_delay=0.1)) as server,
    ):
        with connect(server) as connection:
            connection.sendmail(SENDER, ["y@later.example"], "Subject: x\r\nMessage-ID: <1@x>\r\n\r\nx\r\n")
        deadline = time.monotonic() + 10
        while not intake.folder.ids() and time.monotonic() < deadline:
            time.sleep(0.05)
        [report] = intake.folder.mails()
    assert (report.sender, report.recipients) == ("", (SENDER,))
    message = message_from_bytes(report.raw)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    _text, status, headers = message.get_payload()
    recipient = status.get_payload()[1]
    assert (recipient["Final-Recipient"], recipient["Action"], recipient["Status"]) == (
        "rfc822; y@later.example",
        "failed",
        "5.1.1",
    )
    assert "Message-ID: <1@x>" in headers.get_payload()


def test_no_report_about_a_report(tmp_path):
    with (
        SmtpServer(tmp_path / "intake") as intake,
        SmtpServer(tmp_path / "inbox", rules=inbox.InboxRules(intake.address, report_delay=0.05)) as server,
    ):
        with connect(server) as connection:
            connection.sendmail("", ["y@later.example"], "Subject: x\r\n\r\nx\r\n")
        time.sleep(0.5)
        assert intake.folder.ids() == []


def test_rules_can_cut_the_connection_after_keeping_a_mail(tmp_path):
    class Cut(Rules):
        async def kept(self, mail):
            raise ConnectionAbortedError

    with SmtpServer(tmp_path, rules=Cut()) as server:
        with pytest.raises(smtplib.SMTPServerDisconnected), connect(server) as connection:
            connection.sendmail(SENDER, ["a@example.jp"], "Subject: x\r\n\r\nx\r\n")
        assert len(server.folder.ids()) == 1


def test_taken_port_is_refused_with_a_sentence(server, tmp_path):
    with pytest.raises(CommandError, match=f"Cannot listen on {server.address}"):
        call_command("demo_inbox", listen=server.address, folder=str(tmp_path), stdout=io.StringIO())


# ---- the pages


def test_list_shows_the_newest_first_and_finds_by_decoded_words(pages, tmp_path):
    keep(tmp_path, b"Subject: first\r\nTo: a@example.jp\r\n\r\n")
    keep(tmp_path, hostile_mail())
    assert [mail.subject for mail in pages.get("/inbox/").context["page_obj"]] == [
        "<script>alert(1)</script> ご案内😀",
        "first",
    ]
    assert [mail.to for mail in pages.get("/inbox/?q=𠮷男 事務局").context["page_obj"]] == [
        "髙﨑 𠮷男 <yoshio@yamate.example.jp>"
    ]
    assert list(pages.get("/inbox/?q=nobody").context["page_obj"]) == []


def test_scripts_of_a_mail_never_reach_a_page(pages, tmp_path):
    mail_id = keep(tmp_path, hostile_mail())
    for page in ("/inbox/", f"/inbox/{mail_id}/"):
        body = pages.get(page).content.decode()
        assert "<script>alert" not in body
        assert "&lt;script&gt;alert(1)" in body


def test_html_stands_in_a_frame_with_an_empty_sandbox_and_its_own_policy(pages, tmp_path):
    mail_id = keep(tmp_path, hostile_mail())
    assert (
        f'<iframe class="mail tall" sandbox="" src="/inbox/{mail_id}/html/"'
        in pages.get(f"/inbox/{mail_id}/").content.decode()
    )
    response = pages.get(f"/inbox/{mail_id}/html/")
    assert response["Content-Security-Policy"].split("; ")[:3] == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
    ]
    assert "script-src" not in response["Content-Security-Policy"]


def test_images_are_loaded_only_when_the_reader_asks_and_only_our_own(pages, tmp_path):
    """TRK-1: the image that counts opens, as a mail program loads it."""
    mail_id = keep(tmp_path, hostile_mail())
    assert 'href="?images=yes"' in pages.get(f"/inbox/{mail_id}/").content.decode()
    assert (
        f'src="/inbox/{mail_id}/html/?images=yes"'
        in pages.get(f"/inbox/{mail_id}/?images=yes").content.decode()
    )
    policy = pages.get(f"/inbox/{mail_id}/html/?images=yes")["Content-Security-Policy"]
    assert "img-src data: 'self';" in policy and "default-src 'none';" in policy and "sandbox" in policy


def test_links_of_html_and_text_are_listed_once_and_only_web_addresses(pages, tmp_path):
    mail_id = keep(tmp_path, hostile_mail())
    found = pages.get(f"/inbox/{mail_id}/").context["found"]
    assert found.links == [
        ("https://seminar.example.jp/map", "会場 地図"),
        ("https://seminar.example.jp/form?a=1&b=2", ""),
    ]
    assert found.attachments == [("受講票.pdf", 4)]


def test_source_is_downloaded_as_received(pages, tmp_path):
    raw = b"Subject: x\r\n\r\n\x00\xff raw\r\n"
    response = pages.get(f"/inbox/{keep(tmp_path, raw)}/source/")
    assert (response.content, response["Content-Type"]) == (raw, "message/rfc822")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: =?x-unknown?B?////?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xff",
        b"Subject: =?utf-8?B?broken\r\nFrom: \xe9\xab\x99 <a@b\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nno boundary",
        b"Content-Type: text/html; charset=iso-2022-jp\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
    ],
)
def test_broken_mails_are_shown_without_an_error(pages, tmp_path, raw):
    mail_id = keep(tmp_path, raw)
    for page in ("", f"{mail_id}/", f"{mail_id}/html/", f"{mail_id}/source/"):
        assert pages.get(f"/inbox/{page}").status_code == 200


@pytest.mark.parametrize("mail_id", ["1", "..%2f..%2fmanage", "x", "1-2-3"])
def test_unknown_mail_is_not_found(pages, mail_id):
    assert pages.get(f"/inbox/{mail_id}/").status_code == 404


def test_pages_need_a_login(pages, client):
    client.logout()
    assert client.get("/inbox/").status_code == 302


def test_one_click_posts_as_rfc_8058_says(pages, tmp_path, monkeypatch, settings):
    """OPT-5: the body List-Unsubscribe=One-Click, no cookie; only by POST, and only to this system."""
    settings.BASE_URL = "http://127.0.0.1:8000"
    calls = []

    class Answer(io.BytesIO):
        status = 200

    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, data, timeout: calls.append((url, data)) or Answer()
    )
    mail_id = keep(tmp_path, hostile_mail())
    assert pages.get(f"/inbox/{mail_id}/one-click/").status_code == 405
    assert calls == []
    pages.post(f"/inbox/{mail_id}/one-click/")
    assert calls == [("http://127.0.0.1:8000/u/abc/", b"List-Unsubscribe=One-Click")]
    settings.BASE_URL = "https://smp.example"
    pages.post(f"/inbox/{mail_id}/one-click/")
    assert len(calls) == 1


def test_signatures_are_judged_with_the_demos_dns(pages, tmp_path, settings):
    """RATE-4: verified, broken, none."""
    zones.make_sending_domains(make_user(), now=timezone.now())
    mail = hostile_mail().as_bytes(policy=policy.SMTP)
    signed = sending_domains.signer_for("info@seminar.example.jp").sign(mail, at=timezone.now()) + mail
    broken = signed.replace(b"Subject:", b"Subject: x")
    hostile = b"DKIM-Signature: v=1; a=rsa-sha256; b==;=\r\nDKIM-Signature:\r\n" + mail
    with DnsServer(zones.zones()) as server:
        settings.DNS_SERVER = server.address
        for raw, wanted in (
            (signed, "検証済み"),
            (broken, "検証できません"),
            (hostile, "検証できません"),
            (mail, "署名なし"),
        ):
            html = pages.get(f"/inbox/{keep(tmp_path, raw)}/").content.decode()
            assert [word for word in ("検証済み", "検証できません", "署名なし") if word in html] == [wanted]
