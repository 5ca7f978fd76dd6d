"""LAW-3, RATE-4: the live checks of a sending domain, each with what DNS has and what to do.

Reads DNS, system settings and the registered source addresses; changes nothing. One check asks at most
`dns_lookup.QUERIES_MAX` questions and takes at most `SECONDS_MAX`, whatever the other side does.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings

from mail import spf
from mail.check_items import OK, UNKNOWN, WARNING, WRONG, CheckItem, shown
from mail.dns_lookup import Lookups, is_public
from mail.domain_records import (
    is_dmarc,
    key_record,
    organisational_domain,
    read_dmarc,
    read_key_record,
    same_organisation,
)
from mail.models.sending_domain import DkimKey, KeyState
from settings.models import DomainRule, SourceIp, Tls

BITS_MIN = 1024  # RFC 8301; 2048 advised
_GENERIC = re.compile(
    r"(?:^|[.-])(?:dyn(?:amic)?|dhcp|dial(?:up|in)?|ppp|p?poe|[av]?dsl|ftth|cable|pool|customer|client|broadband|unassigned)\d*[.-]"
)


@dataclass(frozen=True)
class ExpectedKey:
    """A key of ours and where it stands; `until`: for a retiring one, how long it stays published."""

    selector: str
    algorithm: str
    public: str
    state: str
    until: str = ""
    readable: bool = True  # its private half


@dataclass(frozen=True)
class Source:
    address: str
    hostname: str = ""


def check_domain(
    name: str,
    *,
    keys: Iterable[ExpectedKey] | None = None,
    selectors: Sequence[str] = (),
    dns: Lookups | None = None,
) -> list[CheckItem]:
    """Everything about one domain, in A-labels. `keys` None: it is not registered here; `selectors`: then look at these."""
    dns = dns or Lookups()
    sources = [
        Source(str(row.address), row.hostname.lower().rstrip("."))
        for row in SourceIp.objects.filter(enabled=True)
    ]
    envelope = check_spf("bounce_spf", settings.BOUNCE_DOMAIN, sources, dns)
    dmarc = check_dmarc(name, dns)
    if keys is None:
        signing = [CheckItem("dkim", WRONG, "dkim_not_registered")]
        signing += [check_foreign_key(name, selector, dns) for selector in selectors]
    else:
        expected = list(keys)
        signing = [check_key(name, key, dns) for key in expected]
        if not any(key.state == KeyState.ACTIVE for key in expected):
            signing.insert(0, CheckItem("dkim", WRONG, "dkim_no_key"))
    return [
        *signing,
        check_dkim_alignment(name, signing, dmarc),
        check_spf("spf", name, sources, dns),
        check_spf_alignment(name, envelope, dmarc),
        dmarc,
        check_mail_server("reply", name, dns),
        envelope,
        check_mail_server("bounce_mx", settings.BOUNCE_DOMAIN, dns),
        check_tls(),
        check_one_click(),
        *check_sources(sources, dns),
    ]


# ---- SPF


def check_spf(key: str, domain: str, sources: Sequence[Source], dns: Lookups) -> CheckItem:
    """RFC 7208. The envelope sender's domain decides (bounce_spf); some carriers look at that of From as well (spf)."""
    walk = spf.read_policy(domain, dns)
    missing = [source.address for source in sources if not walk.lets(source.address)]
    state, code, params = _spf_finding(walk, sources, missing)
    found = spf.spf_records(dns.txt(domain).values)
    return CheckItem(
        key, state, code, "domain" if key == "spf" else "system", params, shown(found),
        _wanted_spf(code, found, sources, missing), domain, "TXT",
    )  # fmt: skip


def _spf_finding(
    walk: spf.Walk, sources: Sequence[Source], missing: list[str]
) -> tuple[str, str, dict[str, str]]:
    params = {"lookups": str(walk.lookups), "relay": settings.RELAY, "sources": ", ".join(missing[:10])}
    fault = walk.fault
    if fault is not None and fault.fault == "dns":
        return UNKNOWN, "spf_dns", {"at": fault.at}
    if walk.lookups > spf.LOOKUPS_MAX:
        more = "+" if walk.lookups >= spf.WALK_MAX else ""
        return WRONG, "spf_lookups", {"lookups": f"{walk.lookups}{more}"}
    if fault is not None:
        code = "included_none" if fault.fault == "none" and fault is not walk.top else fault.fault
        return WRONG, f"spf_{code}", {"at": shown([fault.at])[0]}
    if walk.void > spf.VOID_MAX:
        return WRONG, "spf_void", {"void": str(walk.void)}
    if walk.lets_everybody:
        return WARNING, "spf_everybody", {}
    if settings.RELAY:
        return OK, "spf_relay", params
    if not sources:
        return WARNING, "spf_no_source", {}
    if missing:
        return (WARNING, "spf_unclear", params) if walk.unclear else (WRONG, "spf_not_covered", params)
    return (WARNING, "spf_ptr", {}) if walk.uses_ptr else (OK, "spf_ok", params)


def _wanted_spf(code: str, found: list[str], sources: Sequence[Source], missing: list[str]) -> str:
    """What to publish: what is there if it is well, with what is missing put in; "" where only its owner can tell."""
    if code == "spf_not_covered":
        kept = [term for term in found[0].split(" ") if term]
        at = next((n for n, term in enumerate(kept) if term.lower().lstrip("+-~?") == "all"), len(kept))
        return " ".join([*kept[:at], *map(_spf_term, missing), *kept[at:]])
    if code == "spf_everybody":
        return re.sub(r"(?i)(?<=\s)\+?all\b", "~all", found[0])
    if code != "spf_none":
        return found[0] if code in {"spf_ok", "spf_relay", "spf_no_source", "spf_ptr"} else ""
    if settings.RELAY:
        host = settings.RELAY.rpartition(":")[0].strip("[]")
        try:
            public = ipaddress.ip_address(host).is_global
            terms = [_spf_term(host)] if public else ["ip4:<IP>"]
        except ValueError:
            terms = [f"a:{host}"]
    else:
        terms = [_spf_term(source.address) for source in sources] or ["ip4:<IP>"]
    return " ".join(["v=spf1", *terms, "~all"])


def _spf_term(address: str) -> str:
    return f"ip{ipaddress.ip_address(address).version}:{address}"


def check_spf_alignment(name: str, envelope: CheckItem, dmarc: CheckItem) -> CheckItem:
    bounce = settings.BOUNCE_DOMAIN
    params = {"bounce": bounce, "domain": name, "organisation": organisational_domain(name) or name}
    if not same_organisation(name, bounce):
        return CheckItem("spf_alignment", WARNING, "spf_not_aligned", params=params)
    if dmarc.params.get("aspf") == "s" and name != bounce:
        return CheckItem("spf_alignment", WARNING, "spf_strict", params=params)
    if envelope.state == WRONG:
        return CheckItem("spf_alignment", WRONG, "spf_alignment_broken", params=params)
    if envelope.state == UNKNOWN:
        return CheckItem("spf_alignment", UNKNOWN, "spf_dns", params=envelope.params)
    return CheckItem("spf_alignment", OK, "spf_aligned", params=params)


# ---- DKIM


def check_key(domain: str, key: ExpectedKey, dns: Lookups) -> CheckItem:
    """RFC 6376 3.6: what is published for one of our keys. A CNAME on the way is followed."""
    name = f"{key.selector}._domainkey.{domain}"
    answer = dns.txt(name)
    revoked = key.state == KeyState.REVOKED
    state, code, params = _key_finding(key, answer.values, answer.failed)
    if key.state == KeyState.ACTIVE and not key.readable:
        state, code, params = WRONG, "dkim_key_lost", {}
    return CheckItem(
        f"dkim:{key.selector}", state, code, params=params, found=shown(answer.values),
        wanted=key_record(key.algorithm, "" if revoked else key.public), name=name, type="TXT",
    )  # fmt: skip


def _key_finding(key: ExpectedKey, values: tuple[str, ...], failed: str) -> tuple[str, str, dict[str, str]]:
    if failed:
        return UNKNOWN, "dkim_dns", {"at": failed}
    records = [record for value in values if (record := read_key_record(value)) is not None]
    if key.state == KeyState.REVOKED:
        there = any(record.public == key.public for record in records)
        return (WARNING, "dkim_still_there", {}) if there else (OK, "dkim_revoked", {})
    # What is not right is a fault for a key that signs, and for the others something to be done.
    bad = WRONG if key.state == KeyState.ACTIVE else WARNING
    if not values:
        code = {KeyState.ACTIVE: "missing", KeyState.WAITING: "waiting"}.get(KeyState(key.state), "gone")
        return bad, f"dkim_{code}", {"until": key.until}
    if len(records) > 1 or (records and len(values) > 1):
        return bad, "dkim_several", {}
    if not records:
        return bad, "dkim_unreadable", {}
    (record,) = records
    if not record.public:
        return bad, "dkim_empty", {}
    if record.algorithm != key.algorithm:
        return bad, "dkim_algorithm", {"found": shown([record.algorithm])[0], "wanted": key.algorithm}
    if record.public != key.public:
        return bad, "dkim_other", {"bits": str(record.bits or "?")}
    if record.testing:
        return WARNING, "dkim_testing", {}
    code = {KeyState.ACTIVE: "ok", KeyState.WAITING: "ready"}.get(KeyState(key.state), "kept")
    return OK, f"dkim_{code}", {"until": key.until}


def check_foreign_key(domain: str, selector: str, dns: Lookups) -> CheckItem:
    """A key somebody else signs with: is it there, can it be read, is it long enough."""
    name = f"{selector}._domainkey.{domain}"
    answer = dns.txt(name)
    records = [record for value in answer.values if (record := read_key_record(value)) is not None]
    params: dict[str, str] = {}
    if answer.failed:
        state, code, params = UNKNOWN, "dkim_dns", {"at": answer.failed}
    elif not answer:
        state, code = WRONG, "dkim_foreign_none"
    elif len(records) != 1:
        state, code = WRONG, "dkim_several" if records else "dkim_unreadable"
    elif not records[0].public:
        state, code = OK, "dkim_revoked"
    elif records[0].testing:
        state, code = WARNING, "dkim_testing"
    elif records[0].algorithm != "rsa":
        state, code, params = OK, "dkim_foreign_ed25519", {"found": shown([records[0].algorithm])[0]}
    elif records[0].bits < 2048:
        state = WARNING if records[0].bits >= BITS_MIN else WRONG
        code, params = "dkim_foreign_weak", {"bits": str(records[0].bits)}
    else:
        state, code, params = OK, "dkim_foreign_ok", {"bits": str(records[0].bits)}
    return CheckItem(
        f"dkim:{selector}", state, code, params=params, found=shown(answer.values), name=name, type="TXT"
    )


def check_dkim_alignment(name: str, signing: Sequence[CheckItem], dmarc: CheckItem) -> CheckItem:
    if not any(item.code == "dkim_ok" for item in signing):
        state = UNKNOWN if any(item.code == "dkim_dns" for item in signing) else WRONG
        return CheckItem("dkim_alignment", state, "dkim_alignment_broken")
    if dmarc.params.get("adkim") == "s":
        return CheckItem("dkim_alignment", WARNING, "dkim_strict")
    return CheckItem("dkim_alignment", OK, "dkim_aligned", params={"domain": name})


# ---- DMARC


def check_dmarc(name: str, dns: Lookups) -> CheckItem:
    """RFC 7489 6.6.3: the record of the domain, else of its organisational domain; more than one counts as none."""
    organisation = organisational_domain(name) or name
    at, answer = name, dns.txt(f"_dmarc.{name}")
    records = [value for value in answer.values if is_dmarc(value)]
    if not answer.failed and len(records) != 1 and organisation != name:
        here, at = records, organisation
        answer = dns.txt(f"_dmarc.{organisation}")
        records = [value for value in answer.values if is_dmarc(value)]
        if not answer.failed and not records and here:
            at, records = name, here
    wanted = f"v=DMARC1; p=none; rua=mailto:dmarc-reports@{name}"
    params: dict[str, str] = {}
    if answer.failed:
        state, code, params = UNKNOWN, "dmarc_dns", {"at": answer.failed}
    elif not records:
        state, code, at = WRONG, "dmarc_missing", name
    elif len(records) > 1:
        state, code = WRONG, "dmarc_several"
    else:
        state, code, params = _dmarc_finding(records[0], at, inherited=at != name)
        if state == OK:
            wanted = records[0]
        elif code == "dmarc_no_reports":
            wanted = f"{records[0].rstrip('; ')}; rua=mailto:dmarc-reports@{at}"
    return CheckItem(
        "dmarc", state, code, params=params, found=shown(records), wanted=wanted,
        name=f"_dmarc.{at if code != 'dmarc_missing' else name}", type="TXT",
    )  # fmt: skip


def _dmarc_finding(record: str, at: str, *, inherited: bool) -> tuple[str, str, dict[str, str]]:
    read = read_dmarc(record)
    if read is None:
        return WRONG, "dmarc_syntax", {}
    if not read.policy:
        return WRONG, "dmarc_no_policy", {}
    policy = read.subdomain_policy or read.policy if inherited else read.policy
    params = {"policy": policy, "at": at, "adkim": read.adkim, "aspf": read.aspf}
    if not read.reports:
        return WARNING, "dmarc_no_reports", params
    if inherited:
        return OK, "dmarc_inherited", params
    return OK, "dmarc_watching" if policy == "none" else "dmarc_ok", params


# ---- where replies and bounces go


def check_mail_server(key: str, domain: str, dns: Lookups) -> CheckItem:
    """Whether mail to this domain arrives anywhere (RFC 5321 5.1, RFC 7505)."""
    group = "system" if key == "bounce_mx" else "domain"
    answer = dns.mx(domain)

    def item(state: str, code: str, **params: str) -> CheckItem:
        return CheckItem(
            key, state, f"{key}_{code}", group=group, params={"domain": domain, **params},
            found=shown(host or "." for host in answer.values), name=domain, type="MX",
        )  # fmt: skip

    if answer.failed:
        return item(UNKNOWN, "dns", at=answer.failed)
    hosts = [host for host in answer.values if host]
    if answer and not hosts:
        return item(WRONG, "null")
    failed = ""
    private = ""
    for host in (hosts or [domain])[:10]:
        addresses = dns.addresses(host)
        failed = failed or addresses.failed
        if any(is_public(address) for address in addresses.values):
            return item(OK, "ok", host=host) if hosts else item(WARNING, "a")
        private = private or (host if addresses else "")
    if failed:
        return item(UNKNOWN, "dns", at=failed)
    return item(WRONG, "private", host=private) if private else item(WRONG, "none")


# ---- source addresses


def check_sources(sources: Sequence[Source], dns: Lookups) -> list[CheckItem]:
    if settings.RELAY and not sources:
        return [CheckItem("ptr", UNKNOWN, "ptr_relay", group="source", params={"relay": settings.RELAY})]
    if not sources:
        return [CheckItem("ptr", WARNING, "ptr_no_source", group="source")]
    return [check_ptr(source, dns) for source in sources]


def check_ptr(source: Source, dns: Lookups) -> CheckItem:
    """The name of a source address, confirmed forwards (RFC 1912 2.1): Gmail and others refuse without."""
    key = f"ptr:{source.address}"

    def item(state: str, code: str, found: Iterable[str] = (), **params: str) -> CheckItem:
        return CheckItem(
            key, state, f"ptr_{code}", group="source", params=params, found=shown(found), wanted=source.hostname,
            name=source.address, type="PTR",
        )  # fmt: skip

    if not is_public(source.address):
        return item(UNKNOWN, "private")
    answer = dns.ptr(source.address)
    if answer.failed:
        return item(UNKNOWN, "dns", at=answer.failed)
    if not answer:
        return item(WRONG, "missing")
    address = ipaddress.ip_address(source.address)
    failed = ""
    for host in answer.values[:5]:
        forward = dns.addresses(host)
        failed = failed or forward.failed
        if address in {ipaddress.ip_address(value) for value in forward.values}:
            if source.hostname and host != source.hostname:
                return item(WARNING, "other", answer.values, host=host, helo=source.hostname)
            generic = looks_generic(host, source.address)
            return item(WARNING if generic else OK, "generic" if generic else "ok", answer.values, host=host)
    if failed:
        return item(UNKNOWN, "dns", answer.values, at=failed)
    return item(WRONG, "unconfirmed", answer.values, host=shown([answer.values[0]])[0])


def looks_generic(host: str, address: str) -> bool:
    """Names made from the address, or of a customer's line: receivers take such senders for infected home computers."""
    if _GENERIC.search(host):
        return True
    if "." not in address:
        return False
    parts = address.split(".")
    for order in (parts, parts[::-1]):
        for three in (order[:3], order[1:]):
            if re.search(r"(?<!\d)0*" + r"\D0*".join(three) + r"(?!\d)", host):
                return True
    return "".join(part.zfill(3) for part in parts) in host


# ---- this installation


def check_tls() -> CheckItem:
    if settings.RELAY:
        on = settings.RELAY_STARTTLS
        return CheckItem(
            "tls", OK if on else WARNING, "tls_relay" if on else "tls_relay_never", group="system"
        )
    never = list(DomainRule.objects.filter(tls=Tls.NEVER).values_list("name", flat=True)[:10])
    if never:
        return CheckItem("tls", WARNING, "tls_never", group="system", params={"rules": ", ".join(never)})
    return CheckItem("tls", OK, "tls_ok", group="system")


def check_one_click() -> CheckItem:
    """RFC 8058 3.1: an https address; it must be one that readers can reach."""
    url = urlsplit(settings.BASE_URL)
    if url.scheme != "https":
        return CheckItem("one_click", WARNING, "one_click_http", group="system")
    host = url.hostname or ""
    try:
        private = not ipaddress.ip_address(host).is_global
    except ValueError:
        private = host == "localhost" or "." not in host
    if private:
        return CheckItem(
            "one_click", WRONG, "one_click_private", group="system", params={"url": settings.BASE_URL}
        )
    return CheckItem("one_click", OK, "one_click_ok", group="system")


def expected_keys(
    keys: Iterable[DkimKey], *, until: dict[int, datetime], readable: set[int]
) -> list[ExpectedKey]:
    """Our keys as the check compares them; `until` and `readable` by key id."""
    return [
        ExpectedKey(
            key.selector, key.algorithm, key.public_key, key.state,
            until[key.pk].date().isoformat() if key.pk in until else "", key.pk in readable,
        )
        for key in keys
    ]  # fmt: skip
