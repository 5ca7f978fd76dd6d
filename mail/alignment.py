"""RATE-5: advertising leaves only from a domain that SPF or DKIM vouches for (DMARC alignment, RFC 7489 3.1).

Judged from the last check while it is good and less than a day old; otherwise DNS is asked now. When DNS does not
answer, a good result of the last week still counts: a resolver that is away is no reason to hold mail back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from mail import domain_checks
from mail.check_items import OK, UNKNOWN, CheckItem
from mail.dns_lookup import Lookups
from mail.domain_records import readable_domain, same_organisation
from mail.models.sending_domain import SendingDomain
from mail.sending_domains import (
    DomainRefused,
    check_now,
    domain_of,
    due_for_check,
    kept_items,
    registered,
)
from settings import audit
from settings.models import SourceIp, User

FRESH = timedelta(hours=24)
STALE = timedelta(days=7)  # good results count so long while DNS does not answer
AGAIN_AFTER = timedelta(minutes=1)  # a bad result is looked at anew, so that what was mended counts at once
REASON_MAX = 1_000


@dataclass(frozen=True)
class Alignment:
    """`ok`: SPF or DKIM aligns, or an administrator answers for it (`overridden`). `text` says why, or what to do."""

    from_address: str
    ok: bool
    text: str
    domain_id: int | None = None  # of the sending domain
    overridden: bool = False
    why: str = ""  # the reason alone, for the domain's own page


def alignment(from_address: str, *, now: datetime, live: bool = True) -> Alignment:
    """Whether mail From this address aligns. With `live` it may ask DNS, for seconds, and keeps what it learns: never
    call it so inside a transaction. Without, it goes by what is stored."""
    name = domain_of(from_address)
    if not name:
        return Alignment(
            from_address,
            False,
            _(
                "The domain of the sender's address cannot be told before sending (it is a merge field). Write it out, "
                "so that SPF and DKIM can be checked."
            ),
        )
    domain = registered(from_address)
    if domain is None:
        return _of_unregistered(from_address, name, live=live)
    items = kept_items(domain)
    verdict = _judge(from_address, name, domain, items)
    age = now - domain.checked_at if domain.checked_at else None
    good = verdict.ok and not verdict.overridden
    if live and (age is None or age > (FRESH if good else AGAIN_AFTER)):
        was_good = good and age is not None and age <= STALE
        fresh = check_now_unless_silent(domain, keep_old=was_good, now=now)
        if fresh is None:  # DNS is silent, the old result is good enough
            return verdict
        verdict = _judge(from_address, name, domain, fresh)
    return verdict


def check_now_unless_silent(
    domain: SendingDomain, *, keep_old: bool, now: datetime
) -> list[CheckItem] | None:
    """A new check, kept; with `keep_old` one in which DNS said nothing decisive is thrown away (None)."""
    before, at = domain.check_result, domain.checked_at
    items = check_now(domain, now=now)
    if keep_old and not _aligned(items, domain.name, domain.name) and _silent(items):
        SendingDomain.objects.filter(pk=domain.pk).update(check_result=before, checked_at=at)
        domain.check_result, domain.checked_at = before, at
        return None
    return items


def _judge(from_address: str, name: str, domain: SendingDomain, items: list[CheckItem]) -> Alignment:
    shown = readable_domain(name)
    if by := _aligned(items, name, domain.name):
        text = _("Mail from %(domain)s aligns with %(by)s.") % {"domain": shown, "by": " + ".join(by)}
        return Alignment(from_address, True, text, domain.pk)
    if not items:
        why = _("%(domain)s was not checked yet.") % {"domain": shown}
    elif _silent(items):
        why = _(
            "DNS did not answer, so nobody can tell whether mail from %(domain)s aligns with SPF or DKIM."
        ) % {"domain": shown}
    else:
        why = _(
            "Mail from %(domain)s aligns neither with DKIM nor with SPF: Gmail, Outlook.com and others refuse it."
        ) % {"domain": shown}
    if domain.override_reason:
        text = _("%(why)s An administrator lets it out all the same: %(reason)s") % {
            "why": why,
            "reason": domain.override_reason,
        }
        return Alignment(from_address, True, text, domain.pk, overridden=True)
    text = _(
        "%(why)s Publish the records that the page of the sending domain shows, or ask a privileged administrator to."
    ) % {"why": why}
    return Alignment(from_address, False, text, domain.pk, why=why)


def _aligned(items: list[CheckItem], name: str, signing: str) -> list[str]:
    """Which of DKIM and SPF vouch for `name`; `signing` is the d= of the signatures."""
    states = {item.key: item for item in items}
    dkim, spf = states.get("dkim_alignment"), states.get("spf_alignment")
    ways = []
    if dkim is not None and (dkim.state == OK or (dkim.code == "dkim_strict" and name == signing)):
        ways.append("DKIM")
    if spf is not None and spf.state == OK:
        dmarc = states.get("dmarc")
        strict = dmarc is not None and dmarc.params.get("aspf") == "s"
        if not strict or name == settings.BOUNCE_DOMAIN:
            ways.append("SPF")
    return ways


def _silent(items: list[CheckItem]) -> bool:
    """Whether what decides is unknown because DNS did not answer."""
    return any(item.key in {"dkim_alignment", "spf_alignment"} and item.state == UNKNOWN for item in items)


def _of_unregistered(from_address: str, name: str, *, live: bool) -> Alignment:
    """Nothing is signed; SPF alone can vouch, and only for a domain of the envelope sender's organisation."""
    shown = readable_domain(name)
    if same_organisation(name, settings.BOUNCE_DOMAIN) and live:
        dns = Lookups()
        sources = [
            domain_checks.Source(str(row.address), row.hostname)
            for row in SourceIp.objects.filter(enabled=True)
        ]
        envelope = domain_checks.check_spf("bounce_spf", settings.BOUNCE_DOMAIN, sources, dns)
        dmarc = domain_checks.check_dmarc(name, dns)
        item = domain_checks.check_spf_alignment(name, envelope, dmarc)
        if item.state == OK:
            return Alignment(
                from_address,
                True,
                _("Mail from %(domain)s aligns with %(by)s.") % {"domain": shown, "by": "SPF"},
            )
    return Alignment(
        from_address,
        False,
        _(
            "%(domain)s is not registered as a sending domain, so mails from it are not signed, and receivers cannot tell "
            "that they are ours. Ask a privileged administrator to register it."
        )
        % {"domain": shown},
    )


def sender_hint(address: str) -> str:
    """For the field of a sender's address: that its domain is not registered; "" when it is, or cannot be told."""
    name = domain_of(address)
    if not name or registered(address) is not None:
        return ""
    return _(
        "%(domain)s is not registered as a sending domain: mails are not signed, and advertising may be refused."
    ) % {"domain": readable_domain(name)}


def check_due(*, now: datetime) -> int:
    """The clock's part: checks again what was checked half a day ago, so that mailings need not wait for DNS."""
    due = due_for_check(now=now, older_than=FRESH / 2)
    for domain in due:
        good = bool(_aligned(kept_items(domain), domain.name, domain.name))
        recent = domain.checked_at is not None and now - domain.checked_at <= STALE
        check_now_unless_silent(domain, keep_old=good and recent, now=now)
    return len(due)


def set_override(
    domain: SendingDomain, reason: str, *, user: User | None, now: datetime, ip: str | None = None
) -> None:
    """Lets advertising out although nothing aligns; DomainRefused without a reason. Audited, and shown on the pages."""
    reason = " ".join(reason.split())[:REASON_MAX]
    if not reason:
        raise DomainRefused("reason", _("Write why mail may leave although nothing vouches for it."))
    SendingDomain.objects.filter(pk=domain.pk).update(
        override_reason=reason, override_by=user, override_at=now
    )
    audit.record("sending_domain.override", user=user, target=domain, detail={"reason": reason}, ip=ip)


def withdraw_override(domain: SendingDomain, *, user: User | None, ip: str | None = None) -> bool:
    """False when there was none."""
    gone = (
        SendingDomain.objects.filter(pk=domain.pk)
        .exclude(override_reason="")
        .update(override_reason="", override_by=None, override_at=None)
    )
    if gone:
        audit.record("sending_domain.override_end", user=user, target=domain, ip=ip)
    return bool(gone)
