"""Our signatures read by somebody else's code: dkimpy verifies them, and signs the same mail to the same bytes."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import dkim
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from dkim.canonicalization import Relaxed
from hypothesis import given, settings
from hypothesis import strategies as st

from mail.dkim import (
    OVERSIGNED,
    Key,
    KeyProblem,
    Signer,
    canonical_body,
    generate_private_key,
    load_private_key,
    public_key_text,
)
from mail.domain_records import key_record
from mail.message import Skeleton

DOMAIN, SELECTOR = "seminar.example.jp", "smp1"
AT = datetime.now(UTC) - timedelta(hours=1)  # dkimpy refuses what was signed in the future
RSA, ED25519 = generate_private_key("rsa"), generate_private_key("ed25519")
RECORDS = {
    b"smp1._domainkey.seminar.example.jp.": key_record("rsa", public_key_text(RSA)).encode(),
    b"smp2._domainkey.seminar.example.jp.": key_record("ed25519", public_key_text(ED25519)).encode(),
}
RSA_ONLY = Signer([Key(DOMAIN, SELECTOR, "rsa", RSA)])
BOTH = Signer([Key(DOMAIN, "smp2", "ed25519", ED25519), Key(DOMAIN, SELECTOR, "rsa", RSA)])

CONTENT = {
    "name": "x", "subject": "{{ 姓 }}様へ 製造業DXセミナーのご案内", "form": "text", "purpose": "notice", "charset": "utf-8",
    "to": "{{ メールアドレス }}", "from_address": "info@seminar.example.jp", "from_name": "SMPセミナー事務局", "cc": "",
    "bcc": "", "reply_to": "", "errors_to": "", "text_body": "{{ 姓 }} 様\n\nご案内です。\n",
    "html_body": "<html>\n  <body>\n\t<p>{{ 姓 }}  様 </p>\n  </body>\n</html>\n", "attachments": [],
}  # fmt: skip
ATTACHMENT = {
    "name": "ご案内.pdf",
    "type": "application/pdf",
    "content": base64.b64encode(b"%PDF" * 99).decode(),
}
MAIL = (
    b"Date: Tue, 24 Nov 2026 10:00:03 +0900\r\nFrom: info@seminar.example.jp\r\nTo: yoshio@yamate.example.jp\r\n"
    b"Subject: hello\r\nMessage-ID: <d.1@seminar.example.jp>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
)


def built(**content):
    skeleton = Skeleton(CONTENT | content)
    values = {"姓": "髙橋", "メールアドレス": "yoshio@yamate.example.jp"}
    return skeleton.build(values, delivery_id=7, lead_id=3, sent_at=AT).data


def record_of(name, timeout=5):
    return RECORDS.get(name)


def verified(data, idx=0):
    return dkim.DKIM(data).verify(idx=idx, dnsfunc=record_of)


def tags(field):
    pairs = re.sub(rb"\s", b"", field.partition(b":")[2]).split(b";")
    return {name.decode(): value.decode() for name, _, value in (pair.partition(b"=") for pair in pairs)}


def signed_by_dkimpy(data, at):
    """The b= that dkimpy makes for the same fields at the same moment."""
    ours = tags(RSA_ONLY.sign(data, at=at))
    pem = load_private_key(RSA).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    with time_machine.travel(at, tick=False):
        field = dkim.DKIM(data).sign(
            SELECTOR.encode(),
            DOMAIN.encode(),
            pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=ours["h"].split(":"),
        )
    return tags(field)


KINDS = {
    "text": {},
    "html": {"form": "html"},
    "multipart": {"form": "multipart"},
    "advertising": {"form": "multipart", "purpose": "advertising"},
    "iso-2022-jp": {"charset": "iso-2022-jp", "subject": "ご案内", "from_name": "事務局", "text_body": "拝啓\n.\n敬具 \n"},
    "iso-2022-jp multipart": {"charset": "iso-2022-jp", "form": "multipart", "html_body": "<p>拝啓</p>"},
    "attachment": {"form": "multipart", "attachments": [ATTACHMENT]},
    "text with attachments": {"attachments": [ATTACHMENT, ATTACHMENT | {"name": 'a"b.txt', "type": "text/plain"}]},
    "every field": {"cc": "a@b.example.jp, c@b.example.jp", "bcc": "d@b.example.jp", "reply_to": "e@b.example.jp",
                    "purpose": "advertising"},
    "long subject": {"subject": "製造業DXセミナー" * 30},
    "ascii subject": {"subject": "a  b   c: d=e; f", "from_name": 'A "B", C'},
    "long lines": {"text_body": "漢" * 3000},
    "quoted-printable": {"text_body": "a  b \t \n" * 200 + "x" * 2000 + "é"},
    "trailing blank lines": {"text_body": "x\n\n\n  \n\t\n\n"},
    "blank": {"text_body": ""},
    "spaces and tabs": {"text_body": "\t a \t b\t\n \n  c  \n"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mail_verifies_and_is_signed_to_the_same_bytes(kind):
    """RATE-4: RFC 6376, relaxed/relaxed, never l=."""
    data = built(**KINDS[kind])
    field = RSA_ONLY.sign(data, at=AT)
    assert verified(field + data)
    ours, theirs = tags(field), signed_by_dkimpy(data, AT)
    assert ours == theirs
    assert ours["t"] == str(int(AT.timestamp()))
    assert (ours["c"], ours["d"], "l" in ours) == ("relaxed/relaxed", DOMAIN, False)
    assert max(map(len, field.split(b"\r\n"))) <= 76


def test_ed25519_stands_second_and_both_verify():
    """RATE-4, RFC 8463: whoever reads only the first signature finds RSA."""
    data = built(form="multipart", purpose="advertising")
    fields = BOTH.sign(data, at=AT)
    assert [tags(field)["a"] for field in fields.split(b"DKIM-Signature")[1:]] == [
        "rsa-sha256",
        "ed25519-sha256",
    ]
    assert verified(fields + data, 0) and verified(fields + data, 1)
    broken = (fields + data).replace(b"Subject: ", b"Subject: x", 1)
    assert not verified(broken, 0) and not verified(broken, 1)


def test_signed_fields():
    """RATE-4, RATE-6: both List-Unsubscribe fields are covered (RFC 8058 4); the oversigned ones once more than present."""
    signed = tags(RSA_ONLY.sign(built(**KINDS["every field"]), at=AT))["h"].split(":")
    assert {name: signed.count(name) for name in signed} == {
        "from": 2, "to": 2, "cc": 2, "subject": 2, "date": 2, "message-id": 1, "reply-to": 2, "mime-version": 1,
        "content-type": 2, "content-transfer-encoding": 1, "list-unsubscribe": 2, "list-unsubscribe-post": 2,
    }  # fmt: skip
    others = MAIL.replace(
        b"Subject", b"Sender: a@b.example.jp\r\nList-Id: <x.y>\r\nFeedback-ID: 1:2\r\nX-Odd: 1\r\nSubject"
    )
    signed = tags(RSA_ONLY.sign(others, at=AT))["h"].split(":")
    assert {name: signed.count(name) for name in signed} == {
        "from": 2, "to": 2, "cc": 1, "subject": 2, "date": 2, "message-id": 1, "reply-to": 1, "sender": 1, "mime-version": 1,
        "content-type": 2, "list-id": 1, "list-unsubscribe": 1, "list-unsubscribe-post": 1, "feedback-id": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", OVERSIGNED)
@pytest.mark.parametrize("where", ["first", "last"])
def test_adding_an_oversigned_field_breaks_the_signature(name, where):
    """RATE-4: a second From, Subject, List-Unsubscribe-Post … never appears under our signature."""
    signed = RSA_ONLY.sign(MAIL, at=AT) + MAIL
    assert verified(signed)
    added = f"{name}: evil@example.com\r\n".encode()
    if where == "first":
        assert not verified(added + signed)
    else:
        head, end, body = signed.partition(b"\r\n\r\n")
        assert not verified(head + b"\r\n" + added[:-2] + end + body)


def test_changing_any_byte_breaks_the_signature():
    field = RSA_ONLY.sign(MAIL, at=AT)
    unsigned = {MAIL.index(b"\r\n\r\n") + offset for offset in range(4)}
    for place in range(len(MAIL)):
        if place in unsigned or MAIL[place : place + 1] in b"\r\n :":
            continue  # line ends and the space after a colon are what "relaxed" lets pass; a moved colon is no header
        changed = MAIL[:place] + bytes([MAIL[place] ^ 1 if MAIL[place] ^ 1 not in b"\n\r \t:" else 0x7A])
        changed += MAIL[place + 1 :]
        if changed.lower() == MAIL.lower():
            continue
        with suppress(dkim.DKIMException):  # no longer readable as a mail is broken, too
            assert not verified(field + changed), (place, changed[place : place + 1])


ODD = {
    "folded": b"Subject: one\r\n two\r\n\tthree\r\n",
    "folded in spaces": b"Subject: one  \r\n   \t two\r\n",
    "empty": b"Subject:\r\nReply-To: \r\n",
    "only spaces": b"Subject: \t  \r\nCc:  \r\n \r\n",
    "case": b"SUBJECT: x\r\nreply-TO: a@b.example.jp\r\n",
    "no space": b"Subject:x\r\n",
    "tabs": b"Subject:\tx\t\ty\t\r\n",
    "colons": b"Subject: a: b: c\r\n",
    "SMTPUTF8": "Subject: 髙橋様へ  ご案内\r\n".encode(),
    "eight bits": b"Subject: \xff\xfe x\r\n",
    "twice": b"Subject: a\r\nTo: x@b.example.jp\r\nSubject: b\r\nTo: y@b.example.jp\r\n",
    "unsigned ones": b"X-A:\r\nBcc-Like: x\r\nSubject: y\r\n",
    "looks like ours": b"DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; b=x\r\nSubject: x\r\n",
    "very long": b"Subject: " + b"word " * 3000 + b"\r\n",
}
BODIES = {
    "none": b"", "newline": b"\r\n", "newlines": b"\r\n\r\n\r\n", "no final newline": b"a", "spaces only": b" \t \r\n\r\n",
    "space without newline": b"a \t", "blank first": b"\r\n\r\na\r\n", "dots": b".\r\n..\r\n", "blank lines": b"a\r\n \r\n\t\r\n\r\n",
    "runs": b"  a  b\t\tc \t d\t\r\n", "bytes": bytes(range(14, 256)) * 3 + b"\r\n", "NUL": b"a\0b\r\n",
}  # fmt: skip


@pytest.mark.parametrize("header", ODD)
@pytest.mark.parametrize("body", BODIES)
def test_odd_headers_and_bodies_verify(header, body):
    data = b"From: info@seminar.example.jp\r\n" + ODD[header] + b"\r\n" + BODIES[body]
    field = RSA_ONLY.sign(data, at=AT)
    data = as_received(data)
    assert verified(field + data)
    assert tags(field)["b"] == signed_by_dkimpy(data, AT)["b"]


_white = st.text(alphabet=" \t\r\nab.", max_size=40)
_any = st.binary(max_size=80)


def as_received(data):
    """Over SMTP every mail ends with CRLF; dkimpy keeps the spaces of a last line without one."""
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def _crlf(raw):
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


@settings(max_examples=500, deadline=None)
@given(st.one_of(_white.map(str.encode), _any))
def test_any_body_is_canonicalised_as_dkimpy_does(raw):
    body = _crlf(raw)
    assert canonical_body(body) == Relaxed.canonicalize_body(as_received(body))


_value = st.binary(max_size=40).map(lambda raw: re.sub(rb"[\x00-\x08\x0b-\x1f]", b"", raw)).map(
    lambda raw: re.sub(rb"\s*\n\s*", b"\r\n ", raw.replace(b"\r", b""))
)  # fmt: skip
_name = st.one_of(st.sampled_from(["To", "Cc", "Subject", "subject", "X-Y", "REPLY-TO", "Date"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_name, _value), max_size=6), _white.map(str.encode))
def test_any_header_is_signed_as_dkimpy_does(fields, raw):
    header = b"".join(name.encode() + b":" + value + b"\r\n" for name, value in fields)
    data = b"From: info@seminar.example.jp\r\n" + header + b"\r\n" + _crlf(raw)
    field = RSA_ONLY.sign(data, at=AT)
    data = as_received(data)
    assert verified(field + data)
    assert tags(field)["b"] == signed_by_dkimpy(data, AT)["b"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\rx\n", b"\nx\r"])
@pytest.mark.parametrize("where", [0, -2])
def test_lone_line_ends_are_refused(end, where):
    """A server that mends them would break the signature, one that does not could be smuggled a second mail."""
    data = MAIL[:-2] + b"x" + end + MAIL[where:]
    with pytest.raises(ValueError, match="lone"):
        RSA_ONLY.sign(data, at=AT)


@pytest.mark.parametrize(
    "data", [b"", b"\r\nFrom: a@b\r\n", b"To: a@b\r\n\r\nFrom: c@d\r\n", b"X-From: a\r\n\r\n"]
)
def test_a_mail_without_from_is_refused(data):
    with pytest.raises(ValueError, match="From"):
        RSA_ONLY.sign(data, at=AT)


def test_several_threads_share_a_signer():
    mails = [built(subject=f"mail {number}", form="multipart") for number in range(40)]
    with ThreadPoolExecutor(4) as threads:
        fields = list(threads.map(lambda data: BOTH.sign(data, at=AT), mails))
    for field, data in zip(fields, mails, strict=True):
        assert verified(field + data, 0) and verified(field + data, 1)


def test_keys_are_accepted_as_objects_der_or_pem():
    key = load_private_key(RSA)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fields = {
        Signer([Key("EXAMPLE.jp", "S1", "rsa", private)]).sign(MAIL, at=AT) for private in (RSA, key, pem)
    }
    assert len(fields) == 1
    assert tags(fields.pop())["d"] == "example.jp"
    assert key.key_size == 2048
    assert len(base64.b64decode(public_key_text(ED25519))) == 32


def pkcs8(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("domain", "selector", "algorithm", "private"),
    [
        ("example.jp", "s", "rsa", b"no key"),
        ("example.jp", "s", "rsa", ED25519),
        ("example.jp", "s", "ed25519", RSA),
        ("example.jp", "s", "rsa", pkcs8(ec.generate_private_key(ec.SECP256R1()))),
        ("example.jp; h=x", "s", "rsa", RSA),
        ("日本語.jp", "s", "rsa", RSA),
        ("example.jp", "s\r\nX: y", "rsa", RSA),
        ("example.jp", "", "rsa", RSA),
    ],
    # keys are made anew in every process, and may not stand in a test's name: workers must collect the same names
    ids=["no key", "other kind", "other kind too", "unknown curve", "domain", "IDN", "CRLF", "no selector"],
)
def test_keys_that_cannot_sign_are_refused(domain, selector, algorithm, private):
    with pytest.raises(KeyProblem):
        Key(domain, selector, algorithm, private)


def test_generated_keys_are_what_the_records_say():
    assert isinstance(load_private_key(ED25519), ed25519.Ed25519PrivateKey)
    assert isinstance(load_private_key(RSA), rsa.RSAPrivateKey)
    assert key_record("rsa", "") == "v=DKIM1; k=rsa; p="
