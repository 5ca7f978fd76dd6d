"""Leaving where the address says more than the lead: several leads can share one (EXC-4)."""

from datetime import datetime

from leads.models import Lead
from mail.magazines import blacklist
from mail.magazines.readers import find_readers, leave
from mail.models import Magazine, Reader, ReaderState


def leave_as_everybody(
    lead: Lead, *, way: str, now: datetime, source: str = "", ip: str | None = None
) -> None:
    """Whoever stops all mails (OPT-1, OPT-7) stops the lead, which keeps every magazine from it (MAG-12). Here go the readers
    that other leads with this address are: to the person it is one mailbox, and they were told that no more mails come."""
    if not lead.email_norm:
        return
    others = (
        Reader.objects.filter(lead__email_norm=lead.email_norm, lead__deleted_at=None)
        .exclude(lead=lead)
        .exclude(state=ReaderState.STOPPED)
        .select_related("magazine", "lead")
        .order_by("magazine_id", "-lead_id")
        .distinct("magazine_id")
    )
    for reader in others:
        leave(reader.magazine, reader.lead, way=way, source=source, ip=ip, now=now)


def leave_by_form(
    magazine: Magazine, norm: str, *, way: str, now: datetime, source: str = "", ip: str | None = None
) -> None:
    """MAG-2, 解除フォーム: whoever of this magazine has the address. Somebody whom an administrator stopped or removed says so
    themselves now; an address that was never in the magazine is not listed, or strangers could keep anybody from it."""
    readers = find_readers(magazine, norm)
    lead = readers[0].lead if readers else None
    if lead is None and blacklist.is_blacklisted(magazine, norm):
        lead = Lead.objects.existing().filter(email_norm=norm).order_by("-pk").first()
        if lead is None:
            blacklist.put(magazine, [norm], own_act=True, now=now)
    if lead is not None:
        leave(magazine, lead, way=way, source=source, ip=ip, now=now)
