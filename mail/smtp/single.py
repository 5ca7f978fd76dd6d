"""One mail outside of the ledger, a forwarded bounce: a session of its own, with the null envelope sender.

Goes the way all mail goes: through SMP_RELAY, or straight to the receiver's MX. Blocking; no retries here.
"""

import asyncio

from django.conf import settings

from mail.smtp.client import Envelope, Interrupted, NoAnswer, NoSession, Refused, Session
from mail.smtp.mx import NoRoute, Resolver
from mail.smtp.replies import Reply, may_pass

QUICK = 60.0  # seconds for each of: the session, everything up to the dot, the answer after it
HOSTS_TRIED = 3


class NotSent(Exception):
    """It was not handed over. `permanent`: it will never be taken; `nobodys_fault`: no mail server was reached."""

    def __init__(self, text: str, *, permanent: bool = False, nobodys_fault: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.permanent = permanent
        self.nobodys_fault = nobodys_fault


def hand_over_one(recipient: str, data: bytes) -> Reply:
    """The server's acceptance. NotSent for everything else; a lost answer too, so the mail may come twice then."""
    return asyncio.run(_hand_over(recipient, data))


async def _hand_over(recipient: str, data: bytes) -> Reply:
    session = await _open_relay() if settings.RELAY else await _open_mx(recipient)
    try:
        flight = session.begin(Envelope("", [recipient], len(data), own=recipient))
        await flight.ready()
        session.body(flight, data)
        reply = await flight.verdict()
    except Refused as refusal:
        raise NotSent(refusal.answer.words, permanent=not may_pass(refusal.answer)) from refusal
    except (Interrupted, NoAnswer, ValueError) as error:
        raise NotSent(str(error), permanent=isinstance(error, ValueError)) from error
    finally:
        await session.quit()
    if not reply.positive:
        raise NotSent(reply.words, permanent=not may_pass(reply))
    return reply


async def _open_relay() -> Session:
    host, _colon, port = settings.RELAY.rpartition(":")
    try:
        return await _open(host.strip("[]"), int(port), host.strip("[]"))
    except NoSession as error:
        raise NotSent(error.text, nobodys_fault=True) from error


async def _open_mx(recipient: str) -> Session:
    resolver, problem = Resolver(), ""
    try:
        for host in (await resolver.mail_hosts(recipient.rpartition("@")[2]))[:HOSTS_TRIED]:
            for address in (await resolver.addresses(host))[:HOSTS_TRIED]:
                try:
                    return await _open(address, settings.SMTP_PORT, host)
                except NoSession as error:
                    problem = error.text
    except NoRoute as error:
        raise NotSent(error.text, permanent=error.permanent) from error
    raise NotSent(problem)


async def _open(address: str, port: int, host: str) -> Session:
    seconds = min(QUICK, settings.SMTP_TIMEOUT)
    return await Session.open(
        address, port, host=host, helo=settings.MAIL_DOMAIN, timeout=seconds, dot_timeout=QUICK,
        tls="opportunistic" if settings.RELAY_STARTTLS or not settings.RELAY else "never",
    )  # fmt: skip
