"""A mail in this process's hands, from its claim to its result."""

from asyncio import Future
from datetime import datetime

from mail.delivery.claim import Claimed
from mail.delivery.intent import Intent


class OutgoingMail:
    """`data` and everything under it are filled when the mail is made. One part of a mail goes to one site: `part` are
    the envelope addresses that go there now, `others` those that come after it, in claims of their own (ADDR-4)."""

    __slots__ = (
        "allowed",
        "asked_at",
        "data",
        "from_address",
        "held_since",
        "intent",
        "last_attempt",
        "others",
        "own",
        "part",
        "pk",
        "pool",
        "purpose",
        "ready",
        "recipients",
        "row",
        "sender",
        "token",
        "tries",
    )  # fmt: skip

    def __init__(self, row: Claimed, held_since: float) -> None:
        self.row = row
        self.pk = row.pk
        self.token = row.token
        self.held_since = held_since  # time.monotonic() of the claim, or of its renewal
        self.data = b""
        self.sender = ""
        self.from_address = ""
        self.own = ""
        self.recipients: list[str] = []
        self.part: list[str] = []
        self.others: list[str] = []
        self.last_attempt = False
        self.intent: Intent | None = None
        # The intent's answer: may it be handed over? None: not asked yet.
        self.allowed: Future[bool] | None = None
        self.asked_at = 0.0
        self.purpose = ""
        self.pool = ""  # of source IPs
        self.ready = False  # signed
        self.tries = 0  # sessions that ended under it before its body

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def intended(self) -> bool:
        """Its intent is committed: it must be taken back, not released."""
        return (
            self.allowed is not None
            and self.allowed.done()
            and not self.allowed.cancelled()
            and self.allowed.result()
        )

    @property
    def domain(self) -> str:
        return domain_of(self.own or self.row.address)

    def made(
        self, *, data: bytes, sender: str, from_address: str, own: str, recipients: list[str], values: str,
        subject: str, snapshot_id: int, sent_at: datetime, purpose: str,
    ) -> None:  # fmt: skip
        self.data = data
        self.sender = sender
        self.from_address = from_address
        self.purpose = purpose
        self.own = own
        self.recipients = recipients
        self.part = recipients
        self.intent = Intent(
            self.pk, self.token, snapshot_id, values, subject, sent_at, self.row.address or own
        )


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()
