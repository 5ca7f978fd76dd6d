"""PIPELINING (RFC 2920): one round trip a mail, and the exact end of both mails in the air."""

import asyncio

import pytest

from mail.smtp.client import Interrupted, NoAnswer, Refused
from tests.mail.smtp_script import END, PIPELINING, PLAIN, Script, envelope, opening, play
from tests.sink import Sink

OK = b"250 ok\r\n250 ok\r\n354 go\r\n"
DATA = b"DATA\r\n"


async def one_behind(server, *, second=None, data=b"x", **options):
    """Two mails in the air: the first one's dot and the second one's envelope are written."""
    session = await server.open(**options)
    first = session.begin(envelope("a@y.example"))
    await first.ready()
    session.body(first, data)
    return session, first, session.begin(second or envelope("b@y.example"))


def test_rfc_2920_3_1_one_write_a_mail():
    """MAIL, RCPT, DATA in one; the content begins the next one, and DATA ends it."""
    server = Script(
        *opening(), (DATA, OK), (DATA, b"250 first\r\n" + OK), (END, b"250 second\r\n"), (b"QUIT\r\n", b"221 bye\r\n")
    )  # fmt: skip

    async def story():
        session, first, second = await one_behind(server, data=b"one")
        assert (await first.verdict()).text == "first"
        assert (await second.ready()).accepted == ["b@y.example"]
        session.body(second, b"two")
        assert (await second.verdict()).text == "second"
        await session.quit()

    play(story)
    server.done()
    assert server.bursts == [
        b"EHLO smp.example\r\n",
        b"MAIL FROM:<s@x.example> SIZE=10\r\nRCPT TO:<a@y.example>\r\nDATA\r\n",
        b"one\r\n.\r\nMAIL FROM:<s@x.example> SIZE=10\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
        b"two\r\n.\r\n",
        b"QUIT\r\n",
    ]


@pytest.mark.parametrize("tls", ["", "working"])
def test_rate_1_one_round_trip_a_mail(tmp_path, tls):
    """50 mails over a way of 20 ms: hello, 50 flights, the last dot; a second of waiting instead of four."""

    async def story():
        from mail.smtp.client import Session

        session = await Session.open("127.0.0.1", sink.port, helo="x", timeout=20, dot_timeout=20)
        before = sink.flights
        flight = session.begin(envelope("0@y.example"))
        for number in range(1, 51):
            await flight.ready()
            session.body(flight, b"Subject: x\r\n\r\nx")
            behind = session.begin(envelope(f"{number}@y.example")) if number < 50 else None
            assert (await flight.verdict()).code == 250
            flight = behind
        assert sink.flights - before == 51
        await session.quit()

    with Sink(tmp_path / "accepted", delay=0.02, tls=tls) as sink:
        play(story)
    assert [mail["recipients"] for mail in sink.mails] == [[f"{number}@y.example"] for number in range(50)]
    assert sink.encrypted == bool(tls)


def test_two_envelopes_ahead_are_one_too_many():
    async def story():
        session, _first, _second = await one_behind(Script(*opening(), (DATA, OK)))
        with pytest.raises(RuntimeError):
            session.begin(envelope())
        session.close()

    play(story)


# ---- refusals


def test_refused_for_good_the_session_goes_on_with_rset():
    server = Script(
        *opening(), (DATA, b"250 ok\r\n550 no\r\n503 no recipients\r\n"), (DATA, b"250 reset\r\n" + OK)
    )

    async def story():
        session = await server.open()
        with pytest.raises(Refused) as refused:
            await session.begin(envelope(own="a@y.example")).ready()
        assert (refused.value.answer.code, refused.value.command) == (550, "RCPT")
        await session.begin(envelope("b@y.example")).ready()
        session.close()

    play(story)
    assert server.done().endswith(
        b"RSET\r\nMAIL FROM:<s@x.example> SIZE=10\r\nRCPT TO:<b@y.example>\r\nDATA\r\n"
    )


@pytest.mark.parametrize(
    ("answers", "code", "address", "command"),
    [
        (b"550 a\r\n503 b\r\n503 c\r\n", 550, "s@x.example", "MAIL"),
        (b"250 ok\r\n450 a\r\n554 none\r\n", 450, "a@y.example", "RCPT"),
        (b"250 ok\r\n250 ok\r\n451 later\r\n", 451, "", "DATA"),
    ],
)
def test_the_first_refusal_is_the_one_that_counts(answers, code, address, command):
    async def story():
        session = await Script(*opening(), (DATA, answers), (DATA, b"250 reset\r\n" + OK)).open()
        with pytest.raises(Refused) as refused:
            await session.begin(envelope()).ready()
        error = refused.value
        assert (error.answer.code, error.address, error.command) == (code, address, command)
        await session.begin(envelope()).ready()
        session.close()

    play(story)


def test_rfc_2920_3_1_354_without_recipients_is_left_by_a_lone_dot():
    server = Script(
        *opening(), (DATA, b"250 ok\r\n550 no\r\n354 go\r\n"), (DATA, b"554 no valid recipients\r\n" + OK)
    )

    async def story():
        session = await server.open()
        with pytest.raises(Refused) as refused:
            await session.begin(envelope()).ready()
        assert refused.value.answer.code == 550
        assert (await session.begin(envelope("b@y.example")).ready()).accepted == ["b@y.example"]
        session.close()

    play(story)
    assert (
        b"DATA\r\n.\r\nMAIL FROM:<s@x.example> SIZE=10\r\nRCPT TO:<b@y.example>\r\nDATA\r\n" in server.done()
    )


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        (b"250 ok\r\n550 own\r\n250 ok\r\n354 go\r\n", {"own": "a@y.example"}),  # the lead's own address
        (
            b"250 ok\r\n250 ok\r\n450 later\r\n354 go\r\n",
            {"own": "a@y.example"},
        ),  # ADDR-4: the whole mail waits
        (b"550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n", {}),  # MAIL refused, and yet
    ],
)
def test_addr_4_354_though_nothing_may_be_sent_closes_the_connection(answers, options):
    """Never an empty mail to those who were accepted: behind DATA only the end of the connection sends nothing."""
    server = Script(*opening(), (DATA, answers))

    async def story():
        session = await server.open()
        with pytest.raises(Refused):
            await session.begin(envelope("a@y.example", "b@y.example", **options)).ready()
        assert not session.usable

    play(story)
    assert server.done().endswith(b"DATA\r\n")


@pytest.mark.parametrize("extensions", [PIPELINING, PLAIN])
def test_everybody_refused_is_nobody_accepted_even_if_named_twice(extensions):
    async def story():
        answers = [b"250 ok\r\n", b"550 no\r\n", b"551 no\r\n"]
        if extensions is PLAIN:
            steps = [(b"\r\n", answer) for answer in answers]
        else:
            steps = [(DATA, b"".join(answers) + b"554 none\r\n")]
        session = await Script(*opening(extensions), *steps).open()
        with pytest.raises(Refused) as refused:
            await session.begin(envelope("a@y.example", "a@y.example")).ready()
        assert refused.value.answer.code in {550, 551}
        assert session.usable
        session.close()

    play(story)


def test_addr_4_others_refused_and_the_last_attempt():
    answers = b"250 ok\r\n250 ok\r\n550 no\r\n450 later\r\n354 go\r\n"

    async def story():
        session = await Script(*opening(), (DATA, answers)).open()
        one = envelope("a@y.example", "b@y.example", "c@y.example", own="a@y.example", partly=True)
        started = await session.begin(one).ready()
        assert started.accepted == ["a@y.example"]
        assert {address: reply.code for address, reply in started.refused.items()} == {
            "b@y.example": 550,
            "c@y.example": 450,
        }
        session.close()

    play(story)


def test_the_verdict_of_one_mail_says_nothing_about_the_next():
    async def story():
        session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (DATA, b"554 no\r\n" + OK), (END, b"250 ok\r\n"))
        )
        assert (await first.verdict()).code == 554
        await second.ready()
        session.body(second, b"x")
        assert (await second.verdict()).code == 250
        session.close()

    play(story)


# ---- the end of the connection, with two mails in the air


def hang_up(peer):
    peer.close()


@pytest.mark.parametrize("answer", [hang_up, b"garbage\r\n", b"354 what\r\n", b"250-x\r\n" * 200])
def test_err_4_the_mail_with_the_dot_is_unknown_the_one_behind_is_not_sent(answer):
    async def story():
        _session, first, second = await one_behind(Script(*opening(), (DATA, OK), (DATA, answer)))
        with pytest.raises(NoAnswer) as error:
            await first.verdict()
        assert not error.value.timed_out
        with pytest.raises(Interrupted):
            await second.ready()

    play(story)


def test_err_4_silence_after_the_dot():
    async def story():
        _session, first, second = await one_behind(Script(*opening(), (DATA, OK)), dot_timeout=0.3)
        with pytest.raises(NoAnswer) as error:
            await first.verdict()
        assert error.value.timed_out
        with pytest.raises(Interrupted):
            await second.ready()

    play(story)


def test_421_as_the_verdict_is_an_answer_and_interrupts_what_is_behind():
    async def story():
        session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (DATA, b"421 4.3.2 closing\r\n"))
        )
        assert (await first.verdict()).code == 421
        with pytest.raises(Interrupted) as error:
            await second.ready()
        assert error.value.reply.code == 421
        assert not session.usable

    play(story)


@pytest.mark.parametrize("before", [b"", b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"])
def test_421_in_the_middle_of_the_envelope_behind(before):
    """The first mail's answer stands; the second was not sent."""

    async def story():
        session, first, second = await one_behind(
            Script(
                *opening(), (DATA, OK), (DATA, b"250 taken\r\n" + before + b"421 enough\r\n"), hang_up=True
            )
        )
        assert (await first.verdict()).text == "taken"
        with pytest.raises(Refused) as refused:
            await second.ready()
        assert refused.value.answer.code == 421
        assert not session.usable

    play(story)


def test_answered_and_then_gone():
    async def story():
        _session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (DATA, b"250 taken\r\n250 ok\r\n"), hang_up=True)
        )
        assert (await first.verdict()).text == "taken"
        with pytest.raises(Interrupted):
            await second.ready()

    play(story)


def test_a_refusal_in_the_middle_of_the_body_and_a_mail_behind_it():
    def refuse(peer):
        peer.sendall(b"552 5.3.4 too big\r\n")

    async def story():
        _session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (b"x" * 1000, refuse)), data=b"x" * 30_000_000
        )
        with pytest.raises(Refused) as refused:
            await first.verdict()
        assert refused.value.answer.code == 552
        with pytest.raises(Interrupted):
            await second.ready()

    play(story)


def test_an_answer_more_than_asked_for_between_two_mails():
    """`250 250` after the dot: the second one would be taken for the answer to the next MAIL."""

    async def story():
        session = await Script(*opening(), (DATA, OK), (END, b"250 ok\r\n250 and again\r\n")).open()
        flight = session.begin(envelope())
        await flight.ready()
        session.body(flight, b"x")
        assert (await flight.verdict()).text == "ok"
        behind = session.begin(envelope())
        with pytest.raises(Interrupted):
            await behind.ready()

    play(story)


def test_421_while_idle_and_the_envelope_not_yet_written():
    async def story():
        session = await Script(*opening(), (b"", b"421 idle\r\n"), hang_up=True).open()
        while session.usable:
            await asyncio.sleep(0.01)
        with pytest.raises(Interrupted):
            await session.begin(envelope()).ready()

    play(story)


def test_the_second_mails_time_begins_with_the_first_ones_verdict():
    """A verdict may take ten minutes; the envelope behind it must not be given up meanwhile."""

    def late(peer):
        import time

        time.sleep(1.2)
        peer.sendall(b"250 ok\r\n" + OK)

    async def story():
        session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (DATA, late)), timeout=0.8, dot_timeout=20
        )
        assert (await first.verdict()).code == 250
        await second.ready()
        session.close()

    play(story)


def test_the_envelope_behind_has_a_time_limit_of_its_own():
    async def story():
        _session, first, second = await one_behind(
            Script(*opening(), (DATA, OK), (DATA, b"250 ok\r\n250 ok\r\n")), timeout=0.4, dot_timeout=20
        )
        assert (await first.verdict()).code == 250
        with pytest.raises(Interrupted):
            await second.ready()

    play(story)
