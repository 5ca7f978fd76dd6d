"""RSV-4: what was really sent, made again from the snapshot, the merged values and the time of the intent."""

from dataclasses import dataclass
from email import policy
from email.parser import BytesHeaderParser

from django.utils.translation import gettext as _

from mail.address_fields import AddressFieldError
from mail.automatic_kinds import shown_values
from mail.merging import TemplateError
from mail.message import BuiltMail, MergeProblem, Skeleton, uncounted
from mail.models import Delivery


@dataclass(frozen=True)
class SentMail:
    """A mail as it went out. `addresses`: to, cc, bcc; `headers`: decoded From and Reply-To as people read them."""

    mail: BuiltMail
    addresses: dict[str, list[str]]
    from_name: str
    reply_to: str
    reply_addresses: list[str]


class NotRebuilt(Exception):
    """The mail cannot be shown; the message says why."""


def rebuild(delivery: Delivery, *, direct: bool = False) -> SentMail:
    """The bytes handed over for this delivery, without the links only its recipient may follow. NotRebuilt when it was
    never made. Needs `snapshot`, no other query.

    `direct`: with every counted link as it is written and without the image that counts opens. For whatever shows a mail or
    sends it to somebody else: a look at it by us is not the recipient's (TRK-4)."""
    if delivery.snapshot is None or delivery.merge_values is None or delivery.sent_at is None:
        raise NotRebuilt(_("This mail was not handed over, so there is nothing that was sent."))
    try:
        content = delivery.snapshot.content
        mail = Skeleton(uncounted(content) if direct else content).build(
            shown_values(delivery.mail_kind, delivery.merge_values), delivery_id=delivery.pk, lead_id=delivery.lead_id, sent_at=delivery.sent_at,
            address=delivery.address or None,
        )  # fmt: skip
    except (MergeProblem, TemplateError, AddressFieldError) as problem:
        raise NotRebuilt(_("The mail can no longer be made: %(problem)s") % {"problem": problem}) from problem
    return decode_addresses(mail)


def decode_addresses(mail: BuiltMail) -> SentMail:
    """A made mail with its addresses by field and its headers as people read them."""
    addresses: dict[str, list[str]] = {"to": [], "cc": [], "bcc": []}
    for kind, address in mail.recipients:
        addresses.setdefault(kind, []).append(address)
    headers = BytesHeaderParser(policy=policy.default).parsebytes(mail.data)
    sender = headers["From"]
    return SentMail(
        mail=mail,
        addresses=addresses,
        from_name=str(sender.addresses[0].display_name) if sender and sender.addresses else "",
        reply_to=str(headers["Reply-To"] or ""),
        reply_addresses=[address.addr_spec for address in getattr(headers["Reply-To"], "addresses", ())],
    )
