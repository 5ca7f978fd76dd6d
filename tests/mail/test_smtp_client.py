"""The SMTP client against servers that behave badly: opening, TLS, lock step, and what became of each mail."""

import asyncio
import contextlib
import ssl
import threading
import time

import pytest

from mail.smtp.client import Interrupted, NoAnswer, NoSession, Refused, Session
from mail.smtp.stuffing import stuff
from tests.certificates import self_signed_context
from tests.mail.smtp_script import END, GREETING, PIPELINING, PLAIN, Script, envelope, opening, play

# MAIL, RCPT, DATA of one mail to one recipient, in lock step
ENVELOPE = [(b"\r\n", b"250 ok\r\n"), (b"\r\n", b"250 ok\r\n"), (b"DATA\r\n", b"354 go\r\n")]


def lock_step(*after, **options):
    return Script(*opening(PLAIN), *ENVELOPE, *after, **options)


# ---- the data


@pytest.mark.parametrize(
    "end",
    [
        b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n\n.\r\n",
        b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n", b"\r\n..\r\n",
    ],
)  # fmt: skip
def test_no_second_mail_can_be_smuggled_in(end):
    """SMTP smuggling: whatever a server takes for a line end, no line of the body is a single dot."""
    data = b"Subject: a\r\n\r\nfirst" + end + b"MAIL FROM:<evil@x.example>\r\n"
    wire = stuff(data)
    assert wire.endswith(b"\r\n")
    assert b"\r" not in wire.replace(b"\r\n", b"")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b".\r\n" not in [line + b"\r\n" for line in wire.split(b"\r\n")]


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"", b""), (b"a", b"a\r\n"), (b".", b"..\r\n"), (b"a\r\n", b"a\r\n"), (b"a\n\r", b"a\r\n\r\n"),
        (b".a\r\n..b\nc", b"..a\r\n...b\r\nc\r\n"), (b"\n.\r.\r\n", b"\r\n..\r\n..\r\n"), (b"\r", b"\r\n"),
        (b"a\n b\r", b"a\r\n b\r\n"), (b"a.\r\n .", b"a.\r\n .\r\n"),
    ],
)  # fmt: skip
def test_rfc_5321_4_5_2_dots_are_doubled(data, wire):
    assert stuff(data) == wire


# ---- opening


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        (b"554 no service\r\n", 554), (b"421 busy\r\n", 421), (b"450 later\r\n", 450),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 0), (b"\x00\xff" * 5000, 0), (b"220-x\r\n" * 500, 0),
    ],
)  # fmt: skip
def test_rfc_5321_3_1_a_bad_greeting_is_no_session(greeting, code):
    async def story():
        with pytest.raises(NoSession) as error:
            await Script((b"", greeting)).open()
        assert (error.value.reply.code, error.value.tls_failed) == (code, False)

    play(story)


def test_a_silent_server_is_no_session():
    async def story():
        with pytest.raises(NoSession):
            await Script().open(timeout=0.3)
        with pytest.raises(NoSession):
            await Script((b"", GREETING), (b"\r\n", b"250-x\r\n")).open(timeout=0.3)
        with pytest.raises(NoSession):
            await Script(hang_up=True).open()

    play(story)


def test_refused_and_unknown_hosts_are_no_session():
    async def story():
        for host, port in (("127.0.0.1", 1), ("no-such-host.invalid", 25)):
            with pytest.raises(NoSession):
                await Session.open(host, port, helo="x", timeout=10, dot_timeout=1)

    play(story)


def test_rate_3_it_connects_from_the_given_address():
    server = Script(*opening())

    async def story():
        session = await server.open(source="127.0.0.9")
        session.close()

    play(story)
    server.done()
    assert server.peer_address[0] == "127.0.0.9"


def test_a_source_that_is_not_ours_is_no_session():
    async def story():
        for source in ("192.0.2.1", "::1"):
            with pytest.raises(NoSession):
                await Script(*opening()).open(source=source)

    play(story)


def test_rfc_5321_3_2_helo_where_ehlo_is_unknown():
    server = Script(
        (b"", b"220 x\r\n"), (b"\r\n", b"502 what\r\n"), (b"\r\n", b"250 x\r\n"), (b"\r\n", b"250 ok\r\n"),
        (b"\r\n", b"550 no\r\n"), (b"RSET\r\n", b"250 reset\r\n"), *ENVELOPE,
    )  # fmt: skip

    async def story():
        session = await server.open()
        assert (session.extensions, session.pipelining) == ({}, False)
        with pytest.raises(Refused) as refused:
            await session.begin(envelope("a@y.example", own="a@y.example")).ready()
        assert (refused.value.answer.code, refused.value.address) == (550, "a@y.example")
        assert session.usable
        await session.begin(envelope("b@y.example")).ready()
        session.close()

    play(story)
    assert server.done() == (
        b"EHLO smp.example\r\nHELO smp.example\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<a@y.example>\r\n"
        b"RSET\r\nMAIL FROM:<s@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"
    )


# ---- TLS (RFC 3207)


def tls_server(*steps):
    context = self_signed_context()
    return Script(
        (b"", GREETING), (b"\r\n", b"250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n"), (b"STARTTLS\r\n", b"220 go\r\n"),
        (b"", lambda peer: context.wrap_socket(peer, server_side=True)), *steps,
    )  # fmt: skip


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
def test_rfc_3207_encrypted_where_offered(tls):
    """And 4.2: what was learned before the handshake is forgotten."""
    server = tls_server(
        (b"EHLO smp.example\r\n", b"250-x\r\n250 8BITMIME\r\n"), *ENVELOPE, (END, b"250 ok\r\n")
    )

    async def story():
        session = await server.open(tls=tls)
        assert (session.encrypted, session.pipelining, session.extensions) == (True, False, {"8BITMIME": ""})
        flight = session.begin(envelope())
        await flight.ready()
        session.body(flight, b"x" * 200_000)
        assert (await flight.verdict()).code == 250
        session.close()

    play(story)
    assert server.done().count(b"EHLO") == 2


def test_tls_never_and_tls_required():
    offered = b"250-x\r\n250 STARTTLS\r\n"

    async def story():
        session = await Script((b"", GREETING), (b"\r\n", offered)).open(tls="never")
        assert not session.encrypted
        session.close()
        with pytest.raises(NoSession) as missing:
            await Script(*opening()).open(tls="required")
        assert (missing.value.tls_failed, missing.value.reply) == (False, None)

    play(story)


def test_cve_2011_0411_text_before_the_handshake_counts_for_nothing():
    server = Script(
        (b"", GREETING), (b"\r\n", b"250-x\r\n250 STARTTLS\r\n"), (b"\r\n", b"220 go\r\n250 EVIL\r\n")
    )

    async def story():
        with pytest.raises(NoSession) as error:
            await server.open()
        assert not error.value.tls_failed

    play(story)
    assert server.done() == b"EHLO smp.example\r\nSTARTTLS\r\n"


@pytest.mark.parametrize(
    "after",
    [
        [(b"\r\n", b"454 not available\r\n")],
        [(b"STARTTLS\r\n", b"220 go\r\n"), (b"", lambda peer: peer.recv(9999) and None)],  # closes in the handshake
        [(b"STARTTLS\r\n", b"220 go\r\n"), (b"", lambda peer: (peer.recv(9999), peer.sendall(b"no\r\n" * 9))[2:])],
    ],
)  # fmt: skip
def test_a_failed_handshake_says_so_and_nothing_follows_in_clear(after):
    """CVE-2026-7666 and its kin: not a byte of a mail on the connection whose encryption failed."""
    server = Script((b"", GREETING), (b"\r\n", b"250-x\r\n250 STARTTLS\r\n"), *after, hang_up=True)

    async def story():
        with pytest.raises(NoSession) as error:
            await server.open(timeout=10)
        assert error.value.tls_failed

    play(story)
    assert b"MAIL" not in server.done()


def test_a_silent_handshake_is_a_failed_one():
    server = Script((b"", GREETING), (b"\r\n", b"250-x\r\n250 STARTTLS\r\n"), (b"\r\n", b"220 go\r\n"))

    async def story():
        with pytest.raises(NoSession) as error:
            await server.open(timeout=2)
        assert error.value.tls_failed

    play(story)


def test_tls_that_breaks_off_after_the_dot():
    server = tls_server(
        (b"EHLO smp.example\r\n", PIPELINING), (b"DATA\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n"),
        (END, lambda peer: peer.unwrap() if False else peer.close()),
    )  # fmt: skip

    async def story():
        session = await server.open()
        flight = session.begin(envelope())
        await flight.ready()
        session.body(flight, b"x\r\n")
        with pytest.raises(NoAnswer):
            await flight.verdict()

    play(story)


# ---- lock step


def test_one_mail_on_the_wire():
    server = lock_step((END, b"250 2.0.0 queued\r\n"), (b"QUIT\r\n", b"221 bye\r\n"))

    async def story():
        session = await server.open()
        flight = session.begin(envelope(size=3))
        started = await flight.ready()
        assert (started.accepted, started.refused) == (["a@y.example"], {})
        session.body(flight, b".x")
        reply = await flight.verdict()
        assert (reply.code, reply.enhanced, session.mails) == (250, "2.0.0", 1)
        await session.quit()
        assert not session.usable

    play(story)
    assert server.done() == (
        b"EHLO smp.example\r\nMAIL FROM:<s@x.example> SIZE=3\r\nRCPT TO:<a@y.example>\r\nDATA\r\n"
        b"..x\r\n.\r\nQUIT\r\n"
    )
    assert len(server.bursts) == 6  # every command waited for its answer


def test_without_pipelining_the_next_envelope_waits_for_the_verdict():
    server = lock_step((END, b"250 ok\r\n"), *ENVELOPE)

    async def story():
        session = await server.open()
        first = session.begin(envelope())
        await first.ready()
        session.body(first, b"x")
        behind = session.begin(envelope("b@y.example"))
        assert (await first.verdict()).code == 250
        assert (await behind.ready()).accepted == ["b@y.example"]
        session.close()

    play(story)
    server.done()
    assert server.bursts[4:] == [
        b"x\r\n.\r\n", b"MAIL FROM:<s@x.example> SIZE=10\r\n", b"RCPT TO:<b@y.example>\r\n", b"DATA\r\n",
    ]  # fmt: skip


def test_replies_split_in_odd_places():
    def pieces(text):
        def send(peer):
            for byte in text:
                peer.sendall(bytes([byte]))
                time.sleep(0.001)

        return send

    server = Script(
        (b"", pieces(GREETING)), (b"\r\n", pieces(PLAIN)), (b"\r\n", pieces(b"250-a\r\n250-b\r\n250 ok\r\n")),
        (b"\r\n", pieces(b"250 ok\n")), (b"\r\n", pieces(b"354 go\r\n")), (END, pieces(b"250-q\r\n250 done\r\n")),
    )  # fmt: skip

    async def story():
        session = await server.open()
        flight = session.begin(envelope())
        await flight.ready()
        session.body(flight, b"x")
        assert (await flight.verdict()).text == "q\ndone"
        session.close()

    play(story)


def test_one_byte_a_second_is_bounded_by_the_deadline():
    def drip(peer):
        with contextlib.suppress(OSError):  # the client leaves first
            for _byte in range(200):
                peer.sendall(b"2")
                time.sleep(0.05)

    async def story():
        session = await Script(*opening(PLAIN), (b"\r\n", drip)).open(timeout=0.5)
        with pytest.raises(Interrupted):
            await session.begin(envelope()).ready()
        assert not session.usable

    play(story)


def test_an_answer_nobody_asked_for_ends_the_session():
    async def story():
        session = await Script(*opening(PLAIN), (b"\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")).open()
        with pytest.raises(Interrupted):
            await session.begin(envelope()).ready()

    play(story)


@pytest.mark.parametrize(
    "answer",
    [b"250-x\r\n" * 500, b"2" * 100_000, b"250-" + b"x" * 100_000, b"hello\r\n", b"999 x\r\n", b"250-a\r\n550 b\r\n"],
)  # fmt: skip
def test_an_endless_or_senseless_reply_is_no_reply(answer):
    async def story():
        session = await Script(*opening(PLAIN), (b"\r\n", answer)).open()
        with pytest.raises(Refused) as refused:
            await session.begin(envelope()).ready()
        assert refused.value.answer.code == 0
        assert not session.usable

    play(story)


@pytest.mark.parametrize("address", ["a@b>\r\nRCPT TO:<c@d", "a b@c", "a@b\0", "<a@b>", "a@b\n", "\ud800@b"])
def test_no_command_is_smuggled_through_an_address(address):
    server = Script(*opening())

    async def story():
        session = await server.open()
        with pytest.raises(ValueError):
            session.begin(envelope(address))
        with pytest.raises(ValueError):
            session.begin(envelope(sender=address))
        session.begin(envelope())  # nothing of it is left behind
        session.close()

    play(story)
    assert server.done() == b"EHLO smp.example\r\n"


def test_rfc_1870_and_rfc_6531_what_the_server_does_not_take_is_not_offered():
    """SIZE; CHR-5: refused without a word to the server."""
    server = Script(*opening(b"250-x\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"))

    async def story():
        session = await server.open()
        for one, expected in [
            (envelope(size=1001), (552, "")),
            (envelope("髙@y.example"), (553, "髙@y.example")),
            (envelope(utf8=True), (553, "")),
        ]:
            with pytest.raises(Refused) as refused:
                await session.begin(one).ready()
            assert (refused.value.answer.code, refused.value.address) == expected
        assert session.usable
        session.close()

    play(story)
    assert server.done() == b"EHLO smp.example\r\n"


def test_a_size_that_is_no_number_limits_nothing():
    async def story():
        for size in ("²", "-1", "1e3", "9" * 1900, "0"):
            session = await Script(*opening(f"250-x\r\n250 SIZE {size}\r\n".encode()), *ENVELOPE).open()
            await session.begin(envelope()).ready()
            session.close()

    play(story)


def test_parameters_of_mail_from():
    server = Script(*opening(b"250-x\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"))

    async def story():
        session = await server.open()
        session.begin(envelope("髙@y.example", size=1000))
        await asyncio.sleep(0.1)
        session.close()

    play(story)
    assert b"MAIL FROM:<s@x.example> SIZE=1000 BODY=8BITMIME SMTPUTF8\r\n" in server.done()


# ---- after 354: the part that decides between "not sent" and 結果不明


async def started_mail(server, **options):
    session = await server.open(**options)
    flight = session.begin(envelope())
    await flight.ready()
    return session, flight


@pytest.mark.parametrize(
    "answer", [b"hello\r\n", b"354 more\r\n", b"250-x\r\n" * 500, b"1" * 9000, lambda peer: peer.close()]
)
def test_no_clear_answer_after_the_dot(answer):
    """ERR-4."""

    async def story():
        session, flight = await started_mail(lock_step((END, answer)))
        session.body(flight, b"x")
        with pytest.raises(NoAnswer) as error:
            await flight.verdict()
        assert not error.value.timed_out
        assert not session.usable

    play(story)


def test_silence_after_the_dot():
    """ERR-4, 40001. A part of an answer is silence too."""

    async def story():
        for answer in (b"", b"25"):
            session, flight = await started_mail(lock_step((END, answer)), dot_timeout=0.3)
            session.body(flight, b"x")
            with pytest.raises(NoAnswer) as error:
                await flight.verdict()
            assert error.value.timed_out

    play(story)


def test_rfc_5321_4_5_3_2_6_the_verdict_has_its_own_time():
    """The answer may take longer than anything before it."""

    def late(peer):
        time.sleep(1.2)
        peer.sendall(b"250 at last\r\n")

    async def story():
        session, flight = await started_mail(lock_step((END, late)), timeout=0.8, dot_timeout=20)
        session.body(flight, b"x")
        assert (await flight.verdict()).text == "at last"
        session.close()

    play(story)


@pytest.mark.parametrize(
    ("word", "expected"), [(b"552 5.3.4 too big\r\n", Refused), (b"421 closing\r\n", Interrupted), (b"250 ok\r\n", Interrupted)]
)  # fmt: skip
def test_a_word_before_the_body_is_written(word, expected):
    """Nothing was written behind 354: whatever it says, the mail was not taken."""

    async def story():
        go = threading.Event()
        server = lock_step((b"", lambda peer: (go.wait(10), peer.sendall(word))[2:] or None))
        session, flight = await started_mail(server)
        go.set()
        while session.usable:
            await asyncio.sleep(0.01)
        session.body(flight, b"x")
        with pytest.raises(expected) as error:
            await flight.verdict()
        assert error.value.reply.code == int(word[:3])
        at_once = Script(*opening(PLAIN), *ENVELOPE[:2], (b"DATA\r\n", b"354 go\r\n" + word))
        with pytest.raises(expected):
            await started_mail(at_once)

    play(story)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda peer: peer.sendall(b"552 5.3.4 too big\r\n"), Refused),
        (lambda peer: peer.sendall(b"451 disk full\r\n"), Interrupted),
        (lambda peer: peer.sendall(b"250 thank you\r\n"), Interrupted),
        (lambda peer: peer.close(), Interrupted),
    ],
)
def test_an_end_in_the_middle_of_the_body_is_no_mail(act, expected):
    """The body does not fit into the buffers: its dot cannot have left, so the mail was certainly not taken."""

    async def story():
        session, flight = await started_mail(lock_step((b"x" * 1000, act)))
        session.body(flight, b"x" * 30_000_000)
        with pytest.raises(expected):
            await flight.verdict()
        assert not session.usable

    play(story)


def test_a_server_that_does_not_read_the_body():
    def stall(peer):
        time.sleep(3)

    async def story():
        session, flight = await started_mail(lock_step((b"", stall), hang_up=True), timeout=0.5)
        session.body(flight, b"x" * 30_000_000)
        with pytest.raises(Interrupted):
            await flight.verdict()

    play(story)


def test_closing_in_time_is_certain():
    """close() in the same turn of the loop: nothing of the body had left."""
    server = lock_step()

    async def story():
        session, flight = await started_mail(server)
        session.body(flight, b"x")
        session.close()
        with pytest.raises(Interrupted):
            await flight.verdict()
        late = session.begin(envelope())
        with pytest.raises(Interrupted):
            await late.ready()

    play(story)
    assert server.done().endswith(b"DATA\r\n")


def test_closed_while_the_verdict_is_due():
    async def story():
        session, flight = await started_mail(lock_step((END, b"")))
        session.body(flight, b"x")
        await asyncio.sleep(0.05)
        session.close()
        with pytest.raises(NoAnswer):
            await flight.verdict()

    play(story)


def test_the_last_words_of_a_server_that_hung_up_are_heard():
    """It answers, closes, and our next write fails with RST: the verdict lies in the buffer and counts."""

    def answer_and_go(peer):
        peer.sendall(b"250 2.0.0 taken\r\n")
        peer.close()

    async def story():
        session, flight = await started_mail(lock_step((END, answer_and_go)))
        session.body(flight, b"x")
        session.wire._flush()
        time.sleep(0.3)  # the loop stands still: answer and FIN are here, unread
        session.wire.sock.send(b"NOOP\r\n")  # answered by RST
        time.sleep(0.1)
        session.wire.write(b"NOOP\r\n")  # this write fails
        assert (await flight.verdict()).text == "2.0.0 taken"

    play(story)


def test_misuse_is_refused():
    async def story():
        session, flight = await started_mail(lock_step())
        with pytest.raises(RuntimeError):
            session.begin(envelope())  # the mail before has no body yet
        session.close()
        session = await Script(*opening()).open()
        flight = session.begin(envelope())
        with pytest.raises(RuntimeError):
            session.body(flight, b"x")  # no 354 yet
        session.close()

    play(story)


def test_ssl_errors_are_os_errors():
    """wire.start_tls relies on it."""
    assert issubclass(ssl.SSLError, OSError)
