"""The counted links of one mail, as they stand in it (TRK-1, TRK-6)."""

from collections.abc import Mapping
from dataclasses import dataclass

from mail.automatic_kinds import shown_values
from mail.counted_links import target_of
from mail.links import click_url
from mail.message import with_address
from mail.models import CountedUrl, Delivery


@dataclass(frozen=True)
class SentLink:
    """A counted link of one mail: where it leads, and as it stands in the mail. `target` is "" where what was merged into
    it makes no address."""

    name: str
    target: str
    link: str


def sent_links(delivery: Delivery) -> list[SentLink]:
    """The counted links of a mail that was made, in the order of the template. Needs `snapshot`; one query if it has any."""
    counted: dict[str, int] = (delivery.snapshot.content if delivery.snapshot else {}).get("counted") or {}
    if not counted or delivery.merge_values is None:
        return []
    values = with_address(shown_values(delivery.mail_kind, delivery.merge_values), delivery.address or None)
    names = dict(CountedUrl.objects.filter(pk__in=counted.values()).values_list("pk", "name"))
    return [
        SentLink(names.get(url_id, ""), _target(url, values), click_url(delivery.pk, url_id))
        for url, url_id in counted.items()
    ]


def _target(url: str, values: Mapping[str, str]) -> str:
    try:
        return target_of(url, values)
    except ValueError:
        return ""
