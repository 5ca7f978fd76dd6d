"""The bytes of a mail, read back with Python's own parser: three forms, two character sets, odd characters."""

import base64
import email
import email.policy
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail.headers import encoded_words, field_names, mailboxes_field, one_line, reads_back, text_field
from mail.japanese import as_iso_2022_jp, unencodable
from mail.links import read_one_click
from mail.merge_fields import values_for
from mail.merging import TemplateError
from mail.message import MergeProblem, Skeleton, as_test, take_snapshot
from mail.models import TemplateAttachment, TemplateSnapshot
from tests.factories import make_lead, make_template

NOW = datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC)
CONTENT = {
    "name": "x",
    "subject": "{{ 姓 }}様へ",
    "form": "text",
    "purpose": "notice",
    "charset": "utf-8",
    "to": "{{ メールアドレス }}",
    "from_address": "info@seminar.example.jp",
    "from_name": "事務局",
    "cc": "",
    "bcc": "",
    "reply_to": "",
    "errors_to": "",
    "text_body": "{{ 氏名 }} 様\n",
    "html_body": "<p>{{ 氏名 }}</p>",
    "attachments": [],
}
VALUES = {"姓": "高橋", "氏名": "高橋 良夫", "メールアドレス": "yoshio@yamate.example.jp", "会社名": ""}


def build(values=None, **content):
    skeleton = Skeleton(CONTENT | content)
    return skeleton.build(VALUES | (values or {}), delivery_id=7, lead_id=3, sent_at=NOW)


def parsed(mail):
    message = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert not message.defects
    return message


def parts(message):
    return {
        part.get_content_type(): part.get_content().replace("\r\n", "\n")
        for part in message.walk()
        if not part.is_multipart()
    }


def assert_safe_bytes(data):
    """CRLF and nothing else ends a line; no line is longer than SMTP allows; no NUL."""
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", data)
    assert data.endswith(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
@pytest.mark.parametrize("form", ["text", "html", "multipart"])
@pytest.mark.parametrize(
    "name", ["高橋 良夫", "髙﨑 𠮷男", "①㈱ｱﾊﾟ", "😀👨\u200d👩\u200d👧", "葛\U000e0100城", "～－―", "か\u3099"]
)
def test_every_form_and_character_set_reads_back(form, charset, name):
    """CHR-1, CHR-2: never a "?"; what ISO-2022-JP cannot carry makes that mail UTF-8 and no other."""
    mail = build({"氏名": name, "姓": name}, form=form, charset=charset)
    message = parsed(mail)
    assert_safe_bytes(mail.data)
    wanted = one_line(name)
    if mail.charset == "iso-2022-jp":
        wanted = wanted.translate(str.maketrans("～－—", "〜−―"))
    assert message["subject"] == f"{wanted}様へ"
    assert message["from"] == "事務局 <info@seminar.example.jp>"
    found = parts(message)
    assert (
        set(found)
        == {
            "text": {"text/plain"},
            "html": {"text/html"},
            "multipart": {"text/plain", "text/html"},
        }[form]
    )
    assert all(wanted in text for text in found.values())
    carried = name in {"高橋 良夫", "～－―", "か\u3099"}
    assert mail.charset == (charset if carried else "utf-8")


def test_japanese_mail_is_seven_bit_and_ends_every_line_in_ascii():
    """CHR-1: label, bytes and encoding agree (no CP932 under the name of ISO-2022-JP)."""
    mail = build(charset="iso-2022-jp", text_body="一行目\n二行目 abc\n" * 30)
    head, _, body = mail.data.partition(b"\r\n\r\n")
    assert b"text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit" in head
    assert mail.data.isascii()
    for line in body.split(b"\r\n"):
        line.decode("iso2022_jp")  # each line by itself: begins and ends in ASCII
        assert line.rfind(b"\x1b(B") >= line.rfind(b"\x1b$B")


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp"])
@pytest.mark.parametrize("text", ["漢" * 3000, "a" * 5000, "https://example.jp/?" + "x" * 1200 + "漢"])
def test_long_lines_are_kept_whole(charset, text):
    """RFC 5321 4.5.3.1.6: encoded, not broken in the middle of a sentence or a link."""
    mail = build(charset=charset, text_body=text)
    assert_safe_bytes(mail.data)
    assert parts(parsed(mail))["text/plain"] == text + "\n"


def test_dots_and_trailing_spaces_survive():
    text = ".\n..\nlast \n.\r\n\r\n.\r\nend"
    mail = build(text_body=text)
    assert parts(parsed(mail))["text/plain"] == text.replace("\r\n", "\n") + "\n"


SMUGGLES = [
    b"\n.\n", b"\n.\r\n", b"\r.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\r.\n\r",
]  # fmt: skip


@pytest.mark.parametrize("end", SMUGGLES)
@pytest.mark.parametrize("where", ["body", "value", "subject"])
def test_smuggled_ends_of_data_become_plain_line_ends(end, where):
    """CVE-2023-51764 and its kin: twelve ways to write an end of data; after the client's dot-stuffing none is one."""
    evil = "x" + end.decode("latin-1") + "MAIL FROM:<evil@example.com>"
    mail = {
        "body": lambda: build(text_body=evil),
        "value": lambda: build({"氏名": evil}),
        "subject": lambda: build({"姓": evil}),
    }[where]()
    assert_safe_bytes(mail.data)
    assert mail.headers == field_names(mail.data.partition(b"\r\n\r\n")[0] + b"\r\n")


@pytest.mark.parametrize(
    "evil",
    [
        "x\r\nBcc: evil@example.com",
        "x\nBcc: evil@example.com",
        "x\rBcc: evil@example.com",
        "x\0\r\n\r\nbody",
        "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
        "=?utf-8?b?eA0KQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
        "x\u2028Bcc: evil@example.com",
        "x\x85Bcc: evil@example.com",
        "x\x0bBcc: evil@example.com",
    ],
)
@pytest.mark.parametrize("name", ["姓", "会社名"])
def test_merged_values_never_become_headers(evil, name):
    """CHR-2: CVE-2024-6923's subject and every other line end, in the subject and in the sender's name."""
    mail = build({name: evil}, from_name="{{ 会社名 }}事務局")
    message = parsed(mail)
    assert list(message.keys()) == mail.headers
    assert "bcc" not in message
    assert mail.recipients == [("to", "yoshio@yamate.example.jp")]
    if "=?" in evil and name == "姓":
        assert message["subject"] == f"{evil}様へ"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=120), st.sampled_from(["utf-8", "iso-2022-jp"]))
def test_any_text_in_a_header_reads_back(text, charset):
    """CHR-2 for any text at all: words of at most 75 characters on lines of at most 76, whole characters, one field."""
    field = text_field("Subject", text, charset)
    assert field_names(field) == ["Subject"]
    lines = field[:-2].split(b"\r\n")
    assert all(len(line) <= 76 for line in lines)
    for word in re.findall(rb"=\?[^?]+\?B\?[^?]*\?=", field):
        assert len(word) <= 75
    header = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)["subject"]
    wanted = one_line(text)
    if b"ISO-2022-JP" in field:
        wanted = as_iso_2022_jp(wanted).decode("iso2022_jp")
    assert str(header) == wanted or field == b"Subject: " + wanted.encode() + b"\r\n"


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=80),
    st.sampled_from(["utf-8", "iso-2022-jp"]),
)
def test_encoded_words_hold_whole_characters(text, charset):
    """CHR-2: each word decodes by itself, and ISO-2022-JP words begin and end in ASCII."""
    decoded = ""
    for word in encoded_words(one_line(text) or "x", charset):
        _, label, _, payload, _ = word.decode().split("?")
        raw = base64.b64decode(payload)
        decoded += raw.decode("iso2022_jp" if label == "ISO-2022-JP" else "utf-8")
        if label == "ISO-2022-JP" and b"\x1b" in raw:
            assert raw.endswith(b"\x1b(B") or raw.rfind(b"\x1b(B") > raw.rfind(b"\x1b$B")
    wanted = one_line(text) or "x"
    if label == "ISO-2022-JP":
        wanted = as_iso_2022_jp(wanted).decode("iso2022_jp")
    assert decoded == wanted


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"From: a", b"To:b", b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"x", b"\0", b"\xff", b"a" * 999]
        ),
        max_size=8,
    ).map(b"".join)
)
def test_the_quick_look_at_a_header_sees_what_the_slow_one_sees(block):
    """CHR-2: `reads_back` is the last check before a mail leaves."""
    try:
        names = field_names(block)
    except ValueError:
        names = None
    for starts in ([b"From:"], [b"From:", b"To:"], [name.encode() + b":" for name in names or ["x"]]):
        meant = names is not None and [name.encode() + b":" for name in names] == starts
        assert reads_back(block, starts) == meant


def test_what_settles_once_does_not_leak_into_other_mails():
    """A fixed sender, copy and body are made once; what merges something is made for every mail."""
    content = CONTENT | {"form": "multipart", "cc": "a@b.example.jp", "html_body": "<p>同じ</p>"}
    used = Skeleton(content)

    def made(skeleton, name, address, at):
        values = VALUES | {"氏名": name, "メールアドレス": address}
        return skeleton.build(values, delivery_id=7, lead_id=3, sent_at=at)

    later = NOW + timedelta(days=1)
    cases = [
        ("高橋", "a@b.example.jp", NOW),
        ("佐藤", "c@d.example.jp", NOW),
        ("佐藤", "c@d.example.jp", later),
    ]
    mails = [made(used, *case) for case in cases]
    assert mails == [made(Skeleton(content), *case) for case in cases]
    assert mails[0].recipients == [("to", "a@b.example.jp")]
    assert [parts(parsed(mail))["text/plain"] for mail in mails] == ["高橋 様\n", "佐藤 様\n", "佐藤 様\n"]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100))
def test_any_sender_name_is_one_mailbox(name):
    field = mailboxes_field("From", [(name, "info@seminar.example.jp")], "utf-8")
    assert field_names(field) == ["From"]
    header = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)["from"]
    assert [mailbox.addr_spec for mailbox in header.addresses] == ["info@seminar.example.jp"]


@pytest.mark.parametrize(
    "name", ["山田, 太郎", 'A "B" C', "Smith, John", "a\\b", "(comment)", "x <evil@example.com>"]
)
def test_display_names_are_quoted_or_encoded(name):
    header = parsed(build(from_name=name))["from"]
    assert (header.addresses[0].display_name, header.addresses[0].addr_spec) == (
        name,
        "info@seminar.example.jp",
    )


@pytest.mark.parametrize(
    "value",
    [
        "no address",
        "a@b.example.jp, c@d.example.jp",
        "a@b.example.jp\r\nDATA",
        "a@b.example.jp;c@d.example.jp",
        "<a@b.example.jp>",
    ],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to", "errors_to", "from_address"])
def test_a_merge_field_that_gives_no_address_stops_that_mail(field, value):
    """ADDR-3: the reason names the field."""
    with pytest.raises(MergeProblem) as caught:
        build({"会社名": value}, **{field: "{{ 会社名 }}"})
    assert caught.value.field == field
    assert caught.value.value == value


def test_empty_merge_results_are_dropped_and_an_empty_to_is_a_problem():
    """ADDR-3: 宛先 is needed, the others tidy up."""
    mail = build(
        cc="{{ 会社名 }}, a@b.example.jp, {{ メールアドレス }}",
        bcc="{{ 会社名 }},z@b.example.jp",
        reply_to="{{ 会社名 }}",
    )
    message = parsed(mail)
    assert message["cc"] == "a@b.example.jp, yoshio@yamate.example.jp"
    assert "reply-to" not in message and "bcc" not in message
    # An address that stands in two fields gets the mail once.
    assert mail.recipients == [
        ("to", "yoshio@yamate.example.jp"),
        ("cc", "a@b.example.jp"),
        ("bcc", "z@b.example.jp"),
    ]
    with pytest.raises(MergeProblem) as caught:
        build({"メールアドレス": ""})
    assert caught.value.field == "to"


def test_carrier_addresses_and_international_domains_go_out_in_envelope_form():
    mail = build({"メールアドレス": "a..b.@docomo.ne.jp"}, cc="user@日本語.jp")
    assert mail.recipients == [("to", '"a..b."@docomo.ne.jp'), ("cc", "user@xn--wgv71a119e.jp")]


def test_advertising_carries_list_unsubscribe():
    """RATE-6: RFC 8058's two fields on advertising, none on a business notice."""
    message = parsed(build(purpose="advertising"))
    url = message["list-unsubscribe"].strip("<>")
    assert read_one_click(url.rsplit("/", 1)[1]) == (3, 7)
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert "list-unsubscribe" not in parsed(build())


def test_a_test_mail_is_marked_and_its_links_stop_nobody():
    """TEST-6: the prefix, one recipient, links of lead 0."""
    content = as_test(
        CONTENT | {"purpose": "advertising", "cc": "boss@b.example.jp", "text_body": "{{ 配信停止URL }}"}
    )
    skeleton = Skeleton(content)
    values = VALUES | {"配信停止URL": "https://real.example.jp/lead/3"}
    mail = skeleton.build(values, delivery_id=7, lead_id=3, sent_at=NOW, address="me@b.example.jp")
    message = parsed(mail)
    assert message["subject"] == "【テスト】高橋様へ"
    assert mail.recipients == [("to", "me@b.example.jp")]
    assert read_one_click(message["list-unsubscribe"].strip("<>").rsplit("/", 1)[1]) == (0, 7)
    assert "real.example.jp" not in parts(message)["text/plain"]


def test_attachments_with_japanese_names(db):
    template = make_template(form="multipart", html_body="<p>x</p>")
    name = "ご案内資料(製造業DXセミナー)第2報 最終版😀.pdf"
    TemplateAttachment.objects.create(
        template=template, file_name=name, content_type="application/pdf", size=3, content=b"\0\r\n"
    )
    TemplateAttachment.objects.create(
        template=template, file_name='a"b.txt', content_type="text/plain", size=1, content=b"a"
    )
    mail = Skeleton(take_snapshot(template).content).build(VALUES, delivery_id=1, lead_id=1, sent_at=NOW)
    assert_safe_bytes(mail.data)
    files = {part.get_filename(): part.get_payload(decode=True) for part in parsed(mail).iter_attachments()}
    assert files == {name: b"\0\r\n", 'a"b.txt': b"a"}


def test_rebuilding_gives_the_same_bytes(db):
    """RSV-4: snapshot, values, ids and sent_at are all a mail is made of."""
    template = make_template(form="multipart", html_body="<p>{{ 姓 }}</p>")
    snapshot = take_snapshot(template)
    first = Skeleton(snapshot.content).build(VALUES, delivery_id=9, lead_id=2, sent_at=NOW)
    template.subject = "changed"
    template.save()
    again = Skeleton(TemplateSnapshot.objects.get(pk=snapshot.pk).content).build(
        VALUES, delivery_id=9, lead_id=2, sent_at=NOW
    )
    assert again == first
    other = Skeleton(snapshot.content).build(VALUES, delivery_id=10, lead_id=2, sent_at=NOW)
    assert other.data != first.data


def test_equal_content_is_stored_once(db):
    """RSV-1: one snapshot per content, and a new one when the template changes."""
    template = make_template()
    assert take_snapshot(template) == take_snapshot(template)
    template.text_body += "!"
    assert take_snapshot(template).pk != take_snapshot(make_template()).pk
    assert TemplateSnapshot.objects.count() == 2


def test_unencodable_lists_characters_with_their_places():
    """CHR-1: what the check page shows."""
    assert [(item.character, item.line, item.column, item.sent_as) for item in unencodable("ab①\n～漢ｱ")] == [
        ("①", 1, 3, ""),
        ("～", 2, 1, "〜"),
        ("ｱ", 2, 3, ""),
    ]
    assert unencodable("高橋 〜−‖¢―\nabc") == []


def test_html_values_are_escaped_and_text_values_are_not():
    mail = build({"氏名": '<script>alert("x")</script>&'}, form="multipart")
    found = parts(parsed(mail))
    assert "<script>" not in found["text/html"]
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;" in found["text/html"]
    assert '<script>alert("x")</script>&' in found["text/plain"]


def test_a_broken_snapshot_is_refused_when_compiled():
    with pytest.raises(TemplateError) as caught:
        Skeleton(CONTENT | {"text_body": "a\n{{ 姓"})
    assert caught.value.line == 2


def test_values_come_from_the_lead(db):
    lead = make_lead(company="山手製作所")
    skeleton = Skeleton(CONTENT)
    values = values_for([lead], now=NOW, names=skeleton.names)
    mail = skeleton.build(values[lead.pk], delivery_id=1, lead_id=lead.pk, sent_at=NOW)
    assert parsed(mail)["subject"] == "髙橋様へ"
