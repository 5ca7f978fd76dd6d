"""Who asks to become a reader, or to leave, on a public form or by an empty mail (MAG-2, MAG-13, OPT-10).

The page only notes it, whoever the address belongs to; the tick finds out. So nobody learns from an answer, or from the
time it takes, who reads what. A registration counts once the mailbox was read (double opt-in): the link of the mail was
opened and its button pressed. Without double opt-in it counts at once, except for addresses that left or were stopped:
nobody is brought back by somebody else's typing.

Against list bombing: one mail per address and magazine in some hours, few per mailbox a day, whoever asks.
"""

import logging
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, connection, transaction

from leads.address import check_email, mailbox_of
from leads.models import ConsentRecord, Lead
from mail.hints import hint
from mail.links import read_confirm_reader
from mail.magazines import readers
from mail.magazines.leaving import leave_by_form
from mail.magazines.locks import hold
from mail.magazines.request_mails import write_confirmation, write_known
from mail.models import (
    Magazine,
    ReaderRequest,
    ReaderState,
    ReaderWay,
    ReturnedKind,
    ReturnedMail,
)

logger = logging.getLogger(__name__)

VALID_FOR = timedelta(hours=48)
FORGOTTEN_AFTER = timedelta(days=30)
ONE_MAIL_IN = timedelta(hours=6)  # per address and magazine
MAILS_A_DAY = 4  # per mailbox, however its address is spelt, of all magazines
_AT_ONCE = 200  # requests of one tick
_LOCK = "reader requests"


# ---- noting


def ask(
    magazine: Magazine,
    address: str,
    values: dict[str, object],
    *,
    way: ReaderWay,
    language: str,
    source: str,
    ip: str | None,
    now: datetime,
) -> ReaderRequest:
    """Notes that somebody wants to read the magazine. `address` is well-formed (leads.address.check_email); `values`:
    {"last_name", "first_name", "items": {ReaderItem.key: value}}, each may be missing."""
    return _note(magazine, address, values, way, language, source, ip, now)


def ask_to_leave(
    magazine: Magazine, address: str, *, language: str, source: str, ip: str | None, now: datetime
) -> ReaderRequest:
    """MAG-2, 解除フォーム: notes it; done within seconds."""
    return _note(magazine, address, {}, ReaderWay.FORM, language, source, ip, now, leaves=True)


def _note(
    magazine: Magazine,
    address: str,
    values: dict[str, object],
    way: ReaderWay,
    language: str,
    source: str,
    ip: str | None,
    now: datetime,
    *,
    leaves: bool = False,
) -> ReaderRequest:
    check = check_email(address)
    request = ReaderRequest.objects.create(
        magazine=magazine, way=way, leaves=leaves, address=check.address, address_norm=check.norm, values=values,
        mailbox=mailbox_of(check.norm), language=language, source=source, ip=ip, at=now, expires_at=now + VALID_FOR,
    )  # fmt: skip
    transaction.on_commit(lambda: hint("mail.tasks.reader_requests", expires=10))
    return request


# ---- the tick


def handle_requests(now: datetime) -> int:
    """The tick: leaves, mails, registers what was asked for, each request once and by itself. The number done."""
    done = 0
    for request_id in (
        ReaderRequest.objects.filter(handled_at=None).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]
    ):
        try:
            done += _handle(request_id, now)
        except (OperationalError, InterfaceError):
            raise  # the database went away, or two waited for one another: it comes again
        except Exception:
            # One odd request never keeps the others back. Whoever asked can ask again.
            logger.exception("the request %s of a reader failed", request_id)
            ReaderRequest.objects.filter(pk=request_id).update(handled_at=now)
    return done


def _handle(request_id: int, now: datetime) -> bool:
    with transaction.atomic():
        # One at a time, so that the limits hold whatever several workers do at once.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        request = (
            ReaderRequest.objects.select_for_update(of=("self",))
            .select_related("magazine")
            .filter(pk=request_id, handled_at=None)
            .first()
        )
        if request is None:
            return False
        if request.magazine.archived_at is None:
            _do(request, now)
        request.handled_at = now
        request.save(update_fields=["handled_at", "delivery_id", "confirmed_at"])
    return True


def _do(request: ReaderRequest, now: datetime) -> None:
    if request.leaves:
        _leave(request, now)
    elif _registered_at_once(request, now) or _mailed_enough(request, now):
        return
    else:
        write = write_known if _reads_it(request) else write_confirmation
        request.delivery_id = write(request, now=now).pk


def _leave(request: ReaderRequest, now: datetime) -> None:
    leave_by_form(
        request.magazine, request.address_norm, way=ReaderWay.FORM, source=request.source, ip=request.ip, now=now
    )  # fmt: skip


def _registered_at_once(request: ReaderRequest, now: datetime) -> bool:
    """From can be forged, so an empty mail always needs the proof."""
    if request.way == ReaderWay.EMPTY_MAIL or request.magazine.double_opt_in:
        return False
    registered, _lead = _register(request, proved=False, ip=request.ip, now=now)
    if registered.outcome == readers.Outcome.UNPROVED:
        return False
    request.confirmed_at = now
    return True


def _reads_it(request: ReaderRequest) -> bool:
    """Already, so that there is nothing to confirm."""
    return any(
        reader.state == ReaderState.DELIVERABLE and reader.lead.unsubscribed_at is None
        for reader in readers.find_readers(request.magazine, request.address_norm)
    )


def _mailed_enough(request: ReaderRequest, now: datetime) -> bool:
    """Also for as long as requests are kept, when such a mail was reported as spam."""
    to_them = ReaderRequest.objects.filter(mailbox=request.mailbox, delivery_id__isnull=False)
    mailed = to_them.filter(handled_at__gt=now - timedelta(days=1))
    lately = mailed.filter(
        magazine=request.magazine, address_norm=request.address_norm, handled_at__gt=now - ONE_MAIL_IN
    )
    if lately.exists() or mailed.count() >= MAILS_A_DAY:
        return True
    past = list(to_them.filter(at__gt=now - FORGOTTEN_AFTER).values_list("delivery_id", flat=True))
    return ReturnedMail.objects.filter(kind=ReturnedKind.COMPLAINT, delivery_id__in=past).exists()


# ---- the proof


def read_request(token: str, *, now: datetime) -> ReaderRequest | None:
    """What the link of a mail is for, confirmed before or not; None when its time is over or it was not made here."""
    request_id = read_confirm_reader(token)
    if request_id is None:
        return None
    request = ReaderRequest.objects.select_related("magazine").filter(pk=request_id, leaves=False).first()
    if request is None or request.delivery_id is None or request.magazine.archived_at is not None:
        return None
    return request if request.confirmed_at is not None or now < request.expires_at else None


def stopped_everything(request: ReaderRequest) -> bool:
    """Whether the address is 配信停止 as a lead: its own registration takes that back (readers.register), so the page says so."""
    same = Lead.objects.existing().filter(email_norm=request.address_norm)
    return same.filter(unsubscribed_at__isnull=False).exists()


def entries_of(request: ReaderRequest) -> ReaderRequest:
    """What the proof registers: what was sent last with this address. Who corrects the form and sends it again gets no second
    mail for some hours; and what a stranger entered first does not go before the person's own."""
    later = ReaderRequest.objects.filter(
        magazine=request.magazine_id, address_norm=request.address_norm, leaves=False, way=ReaderWay.FORM,
        confirmed_at=None, pk__gt=request.pk,
    )  # fmt: skip
    return later.order_by("-pk").first() or request


def confirm(request: ReaderRequest, *, ip: str | None, now: datetime) -> Lead | None:
    """The reader's own act: registers, and takes the address off the blacklist. Again: nothing more (None), so that a link
    that is opened once more brings nobody back who left meanwhile."""
    with transaction.atomic():
        request = (
            ReaderRequest.objects.select_for_update(of=("self",))
            .select_related("magazine")
            .get(pk=request.pk)
        )
        if request.confirmed_at is not None:
            return None
        _registered, lead = _register(request, proved=True, ip=ip, now=now)
        request.confirmed_at = now
        request.save(update_fields=["confirmed_at"])
    return lead


def _register(
    request: ReaderRequest, *, proved: bool, ip: str | None, now: datetime
) -> tuple[readers.Registered, Lead]:
    """OPT-10: with the evidence of the form as it was shown."""
    last = entries_of(request) if proved else request
    entered = dict(last.values)
    items = entered.pop("items", {})
    way = ReaderWay(request.way)
    magazine = hold(request.magazine_id)  # before the lead (docs/architecture.md)
    lead = readers.lead_for(
        magazine, request.address, entered, way=way, proved=proved, source=last.source, ip=ip, now=now
    )
    registered = readers.register(
        magazine, lead, way=way, values=items, evidence=ConsentRecord.Evidence.FORM, source=last.source, ip=ip,
        proved=proved, now=now,
    )  # fmt: skip
    return registered, lead


def forget_old(now: datetime) -> int:
    """Requests are personal data of people who may never have asked: what was not confirmed goes after 30 days."""
    old = ReaderRequest.objects.filter(confirmed_at=None, at__lt=now - FORGOTTEN_AFTER)
    return old.delete()[0]
