"""For tests of sending domains: a zone in which everything is right, and what to do to it."""

from django.utils import timezone

from mail import sending_domains as rules
from mail.models import DkimKey

DOMAIN = "seminar.example.jp"
BOUNCE = "bounce.seminar.example.jp"


def publish(dns, key, **tags):
    """The record of a key of ours, `tags` changed or added."""
    text = rules.record_of(key)
    for name, value in tags.items():
        text = text.replace("v=DKIM1;", f"v=DKIM1; {name}={value};") if name == "t" else text
    dns.set(f"{key.selector}._domainkey.{key.domain.name}", {"TXT": [text]})


def good_zone(dns, *, spf="v=spf1 ip4:127.0.0.0/8 -all"):
    """All but the keys."""
    dns.set(DOMAIN, {"MX": [(10, f"mx.{DOMAIN}")], "TXT": ["some-verification=1", spf]})
    dns.set(f"mx.{DOMAIN}", {"A": ["127.0.0.1"]})
    dns.set(BOUNCE, {"MX": [(10, f"mx.{DOMAIN}")], "TXT": [spf]})
    dns.set(f"_dmarc.{DOMAIN}", {"TXT": [f"v=DMARC1; p=reject; rua=mailto:dmarc@{DOMAIN}"]})


def make_domain(name=DOMAIN, *, dns=None, now=None):
    """A registered domain; with `dns` its first key is published and signs."""
    domain = rules.add_domain(name, user=None, now=now or timezone.now())
    if dns is not None:
        key = DkimKey.objects.get(domain=domain)
        publish(dns, key)
        rules.activate_key(key, user=None, now=now or timezone.now())
    return domain
