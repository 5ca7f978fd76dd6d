"""「一括削除」: what would happen to whom (a dry run). It changes nothing; mail/magazines/readers.py does."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from leads.address import check_email
from mail.magazines.reader_list import readers_of
from mail.models import Magazine, Reader, ReaderState

SHOWN = 50


@dataclass
class Checked:
    """Whom a bulk deletion is about. `found` have not left yet; `stopped` are 配信停止 already (removing them still removes)."""

    found: list[Reader] = field(default_factory=list)
    stopped: list[Reader] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # addresses that no reader has
    malformed: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [reader.pk for reader in (*self.found, *self.stopped)]


def check_addresses(magazine: Magazine, typed: Iterable[str]) -> Checked:
    """By address (EXC-4): every reader who has it. One statement."""
    checked = Checked()
    wanted: dict[str, str] = {}
    for text in typed:
        address = check_email(text)
        if address.malformed or not address.norm:
            checked.malformed.append(text)
        else:
            wanted.setdefault(address.norm, text)
    found = (
        readers_of(magazine).filter(lead__email_norm__in=list(wanted)).select_related("lead").order_by("pk")
    )
    known = set()
    for reader in found:
        known.add(reader.lead.email_norm)
        _sort_in(checked, reader)
    checked.unknown = [text for norm, text in wanted.items() if norm not in known]
    return checked


def check_readers(magazine: Magazine, ids: Iterable[int]) -> Checked:
    """By id; those of other magazines are not found. One statement."""
    checked = Checked()
    for reader in readers_of(magazine).filter(pk__in=list(ids)).select_related("lead").order_by("pk"):
        _sort_in(checked, reader)
    return checked


def _sort_in(checked: Checked, reader: Reader) -> None:
    (checked.stopped if reader.state == ReaderState.STOPPED else checked.found).append(reader)
