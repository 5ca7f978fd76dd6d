"""The client against a server that misbehaves at random: whatever it does, each mail's outcome is true."""

import asyncio
import random

import pytest

from mail.smtp.client import Interrupted, NoAnswer, NoSession, Refused, Session
from tests.mail.smtp_script import envelope, play

MAILS = 25
ODD = ["close", "abort", "garbage", "twice", "early", "451", "550", "421", "354", "drip", "multi"]


class Wild(asyncio.Protocol):
    """Keeps what it received as whole mails (`taken`: recipients, data) and which of them it said 250 to."""

    def __init__(self, dice, odds, taken, promised):
        self.dice, self.odds, self.taken, self.promised = dice, odds, taken, promised
        self.pipelining = dice.random() < 0.8
        self.always_354 = dice.random() < 0.5
        self.buffer, self.body, self.recipients = b"", None, []
        self.dripping = []

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"220 x\r\n")

    def data_received(self, data):
        self.buffer += data
        while not self.transport.is_closing():
            if self.body is not None:
                if self.dice.random() < self.odds / 20:
                    self.say(self.dice.choice([b"552 enough\r\n", b"250 thanks\r\n", b"what\r\n"]))
                end = (b"\r\n" + self.buffer).find(b"\r\n.\r\n")
                if end < 0:
                    return
                mail, self.buffer = self.buffer[:end], self.buffer[end + 3 :]
                self.taken.append((self.recipients, mail))
                if self.answer(b"250 taken\r\n"):
                    self.promised.append(mail)
                self.body, self.recipients = None, []
                continue
            line, newline, rest = self.buffer.partition(b"\r\n")
            if not newline:
                return
            self.buffer = rest
            self.command(line)

    def command(self, line):
        if line.startswith(b"EHLO"):
            self.transport.write(b"250-x\r\n250 PIPELINING\r\n" if self.pipelining else b"250 x\r\n")
        elif line.startswith(b"RCPT"):
            if self.answer(b"250 ok\r\n"):
                self.recipients.append(line)
        elif line == b"DATA":
            if not self.recipients and not self.always_354:
                self.say(b"554 nobody\r\n")
            elif self.answer(b"354 go\r\n"):
                self.body = b""
        else:
            self.recipients = []
            self.answer(b"250 ok\r\n")

    def answer(self, usual):
        """Says the usual, or something odd. Whether the client must have understood the usual."""
        odd = self.dice.choice(ODD) if self.dice.random() < self.odds else ""
        match odd:
            case "close":
                self.transport.close()
            case "abort":
                self.transport.abort()
            case "garbage":
                self.say(bytes(self.dice.randrange(256) for _ in range(40)) + b"\r\n")
            case "twice":
                self.say(usual * 2)
            case "early":
                self.say(usual[:2])
                self.say(usual[2:])
            case "451" | "550":
                self.say(f"{odd} no\r\n".encode())
            case "421":
                self.say(b"421 closing\r\n")
                self.transport.close()
            case "354":
                self.say(b"354 go\r\n")
                return usual.startswith(b"354")
            case "drip":
                for byte in usual:
                    self.say(bytes([byte]))
            case "multi":
                self.say(usual[:3] + b"-first\r\n" + usual)
            case _:
                self.say(usual)
        return odd in {"", "drip", "multi", "twice", "early"}

    def say(self, text):
        if not self.transport.is_closing():
            self.transport.write(text)


async def hand_over(port, outcomes, dice):
    """As a lane does: sessions one after the other, the next envelope behind the dot."""
    number = 0
    while number < MAILS:
        try:
            session = await Session.open("127.0.0.1", port, helo="x", timeout=2, dot_timeout=2)
        except NoSession:
            continue
        behind = None
        while session.usable and (number < MAILS or behind):
            mail, flight = behind or begin(session, number, dice)
            number += behind is None
            behind = None
            try:
                await flight.ready()
                session.body(flight, mail)
                if number < MAILS and dice.random() < 0.8:
                    behind = begin(session, number, dice)
                    number += 1
                if dice.random() < 0.02:
                    await asyncio.sleep(0)
                    session.close()
                outcomes.append((mail, await flight.verdict()))
            except (Refused, Interrupted, NoAnswer) as error:
                outcomes.append((mail, error))
        if behind:
            with pytest.raises((Interrupted, Refused)) as error:
                await behind[1].ready()
            outcomes.append((behind[0], error.value))
        session.close()


def begin(session, number, dice):
    recipients = [f"{one}@y.example" for one in range(dice.choice([1, 1, 1, 3]))]
    mail = f"X: {number}\r\n\r\n".encode() + b"x" * dice.choice([10, 10, 10, 300_000]) + b"\r\n"
    options = {"own": recipients[0], "partly": dice.random() < 0.3}
    return mail, session.begin(envelope(*recipients, **options))


@pytest.mark.parametrize("seed", range(30))
def test_err_4_every_outcome_is_true(seed):
    """Not sent: the server has no such mail. 2xx: it has it whole, and said so. And never an empty or a cut mail."""
    taken, promised, outcomes = [], [], []
    dice = random.Random(seed)
    odds = dice.choice([0.02, 0.1, 0.3])

    async def story():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Wild(dice, odds, taken, promised), "127.0.0.1", 0)
        await hand_over(server.sockets[0].getsockname()[1], outcomes, dice)
        await asyncio.sleep(0.01)  # what is still on the wire arrives
        server.close()

    play(story)
    mails = [mail for mail, _outcome in outcomes]
    assert len(outcomes) == len(set(mails)) == MAILS
    received = [mail for recipients, mail in taken if recipients]
    assert set(received) <= set(mails)
    assert len(received) == len(set(received))
    assert all(mail == b"" for recipients, mail in taken if not recipients)
    for mail, outcome in outcomes:
        if isinstance(outcome, Refused | Interrupted):
            assert mail not in received, outcome
        elif not isinstance(outcome, NoAnswer):
            assert mail in received
            assert not outcome.positive or mail in promised or outcome.text == "thanks"
