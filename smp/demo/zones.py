"""What the demo's DNS says: one sending domain with everything right, whose new keys are published by themselves, and
one with the usual faults (SPF over the limit of look-ups, a key nobody published, no DMARC)."""

from datetime import datetime, timedelta
from typing import Any

from mail import sending_domains
from mail.models import DkimKey, SendingDomain
from mail.models.sending_domain import KeyState
from settings.models import User

DOMAIN = "seminar.example.jp"
BOUNCE_DOMAIN = f"bounce.{DOMAIN}"
FAULTY = "exhibition.example.com"
BUSY = "busy.example"  # always answers that it has too much to do
SECOND_SOURCE = "127.0.0.2"
_SPF = f"v=spf1 include:_spf.{DOMAIN} ~all"
_INCLUDES = ("mail", "crm", "forms", "survey", "shop", "web", "office", "help", "hr", "log", "events")


def zones() -> dict[str, dict[str, list[Any]]]:
    """Records by name, for DnsServer; the keys as they are in the database now."""
    found: dict[str, dict[str, list[Any]]] = {
        DOMAIN: {"TXT": [_SPF], "MX": [(10, f"mx.{DOMAIN}")]},
        BOUNCE_DOMAIN: {"TXT": [_SPF], "MX": [(10, f"mx.{DOMAIN}")]},
        f"_spf.{DOMAIN}": {"TXT": ["v=spf1 ip4:127.0.0.0/8 -all"]},
        f"mx.{DOMAIN}": {"A": ["127.0.0.1"]},
        f"_dmarc.{DOMAIN}": {"TXT": [f"v=DMARC1; p=quarantine; rua=mailto:dmarc@{DOMAIN}"]},
        "127.0.0.1": {"PTR": [f"mx.{DOMAIN}"]},
        FAULTY: {
            "TXT": [" ".join(["v=spf1", *(f"include:_{name}.{FAULTY}" for name in _INCLUDES), "~all"])],
            "MX": [(10, f"mx.{FAULTY}")],
        },
        f"mx.{FAULTY}": {"A": ["127.0.0.1"]},
        f"mx2.{DOMAIN}": {"A": [SECOND_SOURCE]},
        SECOND_SOURCE: {"PTR": [f"mx2.{DOMAIN}"]},
        BUSY: {"MX": [(10, f"mx.{BUSY}")]},
        f"mx.{BUSY}": {"A": ["127.0.0.1"]},
    }
    for number, name in enumerate(_INCLUDES, start=1):
        found[f"_{name}.{FAULTY}"] = {"TXT": [f"v=spf1 ip4:198.51.100.{number} -all"]}
    for key in DkimKey.objects.filter(domain__name=DOMAIN).select_related("domain"):
        found[f"{key.selector}._domainkey.{DOMAIN}"] = {"TXT": [sending_domains.record_of(key)]}
    return found


def make_sending_domains(user: User, *, now: datetime) -> None:
    """Both, with the first one's key signing already."""
    since = now - timedelta(days=40)
    good = sending_domains.add_domain(DOMAIN, user=user, now=since)
    # activate_key would ask a DNS, which is not there while sample data is loaded.
    DkimKey.objects.filter(domain=good).update(state=KeyState.ACTIVE, created_at=since, activated_at=since)
    faulty = sending_domains.add_domain(FAULTY, user=user, now=now)
    SendingDomain.objects.filter(pk__in=[good.pk, faulty.pk]).update(created_at=since)
    sending_domains.forget()
