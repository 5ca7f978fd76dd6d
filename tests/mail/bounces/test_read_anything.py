"""No bytes make a reader of returned mail raise (Hypothesis)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mail.bounces.cause import cause_of
from mail.bounces.mime import parse
from mail.models.delivery import Cause
from tests.mail.bounces.mails import BOUNCES
from tests.mail.bounces.test_read import _read

# The words that lead deep into the readers
SCRAPS = st.sampled_from(
    [
        b"From: MAILER-DAEMON@x.example\n", b"Subject: Undelivered Mail\n", b"Subject: =?utf-8?B?6YWN5L+h?=\n", b"\n", b"\r", b"\r\n",
        b"Content-Type: multipart/report; boundary=b\n", b"Content-Type: message/delivery-status\n", b"--b\n", b"--b--\n",
        b"Content-Type: message/rfc822\n", b"Content-Type: text/html; charset=x\n", b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: quoted-printable\n", b"Final-Recipient: rfc822; a@b.example\n", b"Original-Recipient: utf-8; \\x{FFFFFF}@b.example\n",
        b"Action: failed\n", b"Status: 5.1.1\n", b"Diagnostic-Code: smtp; 550 5.1.1 User unknown\n", b" folded\n", b"Feedback-Type: abuse\n",
        b"<a@b.example>: user unknown\n", b"RCPT TO:<a@b.example>\n", b"550 no such user\n", b"X-Failed-Recipients: a@b.example,\n",
        b"----- Original message -----\n", b"Received: from x\n", b"\x1b$B", b"\xff\xfe", b"&#1114112;", b"<a", b"+2B", b"=3D=", b"\0",
    ]
)  # fmt: skip
MAILS = [raw for raw, _recipients, _hard in BOUNCES.values()]


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=2000),
        st.lists(st.one_of(SCRAPS, st.binary(max_size=12)), max_size=40).map(b"".join),
    )
)
def test_bytes(raw):
    _read(raw)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(MAILS),
    st.lists(st.tuples(st.integers(0, 5000), st.one_of(SCRAPS, st.binary(max_size=3))), max_size=6),
)
def test_mails_with_something_put_in(raw, changes):
    for place, scrap in changes:
        place = min(place, len(raw))
        raw = raw[:place] + scrap + raw[place + len(scrap) // 2 :]
    _read(raw)


@st.composite
def trees(draw, depth=0):
    if depth < 4 and draw(st.booleans()):
        boundary = draw(st.sampled_from(["a", "b", "", 'x"y', "あ"]))
        parts = draw(st.lists(trees(depth=depth + 1), max_size=3))
        kind = draw(
            st.sampled_from(
                ["multipart/report", "multipart/mixed", "multipart/alternative", "multipart/digest"]
            )
        )
        body = "".join(f"--{boundary}\n{part}\n" for part in parts) + draw(
            st.sampled_from([f"--{boundary}--\n", ""])
        )
        return f'Content-Type: {kind}; boundary="{boundary}"\n\n{body}'
    kind = draw(
        st.sampled_from(
            [
                "text/plain",
                "text/html",
                "message/rfc822",
                "message/delivery-status",
                "message/feedback-report",
                "",
                "x",
            ]
        )
    )
    encoding = draw(st.sampled_from(["7bit", "base64", "quoted-printable", "x-uuencode", ""]))
    charset = draw(
        st.sampled_from(["utf-8", "iso-2022-jp", "shift_jis", "hex", "idna", "utf-16", "nonsense", ""])
    )
    return f"Content-Type: {kind}; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n{draw(st.text(max_size=200))}"


@settings(max_examples=150, deadline=None)
@given(trees())
def test_trees_of_parts(tree):
    raw = b"From: MAILER-DAEMON@x.example\nSubject: Undelivered\n" + tree.encode("utf-8", "replace")
    _read(raw)
    for part in parse(raw).walk():
        assert isinstance(part.text(), str)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 999),
    st.text(max_size=12),
    st.text(max_size=400),
    st.sampled_from(["connect", "mail", "rcpt", "data", "report"]),
)
def test_any_answer_has_a_cause(code, enhanced, text, stage):
    assert cause_of(code, enhanced, text, stage=stage) in Cause
