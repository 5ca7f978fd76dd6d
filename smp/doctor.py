"""Is the installation well? Each check answers with what it saw and, when something is wrong, what to do.

Nothing here changes anything, and no check may take longer than a few seconds, whatever is broken.
"""

import shutil
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import dns.exception
import dns.resolver
import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from mail.alignment import alignment
from mail.bounces.imap_poll import MailboxError, configured_mailbox, last_poll, look
from mail.delivery.watchdog import stuck
from mail.dns_lookup import system_resolver
from mail.models import Delivery, ReturnedMail
from mail.models.delivery import DeliveryState
from mail.sending_domains import listed_domains
from tracking.waiting import waiting

TIMEOUT = 5.0  # seconds
TICK_KEY = "smp:tick"  # in the cache: Unix time of the last tick (mail.tasks.tick writes it)
TICK_TOO_OLD = 30.0  # seconds; the tick comes every two
CLOCK_TOO_FAR = (
    5.0  # seconds between this host and the database: leases and due times are compared across hosts
)
HITS_TOO_OLD = timedelta(minutes=5)
NOTHING_RETURNED = timedelta(days=30)
MANY_SENT = 2000  # mails in that time: some of them must have failed later
DISK_LOW = 2 * 1024**3
OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True)
class Finding:
    """`text` is what was seen; `advice` what to do, empty when all is well."""

    name: str
    state: str  # ok, warning (works, but look at it), wrong
    text: str
    advice: str = ""


def examine() -> list[Finding]:
    """All checks. What cannot work without the database is left out when the database is away."""
    findings = [check_database()]
    if findings[0].state == OK:
        findings += [check_migrations(), check_clock(now=time.time())]
        if findings[1].state == OK:
            findings += [check_sending_domains(), check_returned(now=timezone.now())]
    findings.append(check_broker())
    if findings[-1].state == OK:
        findings += [check_workers(), check_tick(now=time.time())]
        if findings[0].state == OK and findings[1].state == OK:
            findings.append(check_hits(now=timezone.now()))
    if findings[0].state == OK and findings[1].state == OK:
        findings.append(check_progress())
    return [*findings, check_relay(), check_intake(), *check_mailbox(), check_dns(), check_disk()]


def check_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database()))"
            )
            version, size = cursor.fetchone() or ("?", "?")
    except DatabaseError as error:
        return Finding(
            "database",
            WRONG,
            str(error).strip(),
            _("Check DATABASE_URL, and that PostgreSQL runs and lets this host in."),
        )
    return Finding("database", OK, f"PostgreSQL {version}, {size}")


def check_migrations() -> Finding:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in plan[:5])
        return Finding(
            "migrations",
            WRONG,
            _("Not applied: %(names)s") % {"names": names},
            _("Run manage.py migrate, then restart all processes."),
        )
    return Finding("migrations", OK, _("all applied"))


def check_clock(*, now: float) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        difference = now - float((cursor.fetchone() or (now,))[0])
    text = _("%(seconds)s seconds from the database") % {"seconds": f"{difference:+.1f}"}
    if abs(difference) > CLOCK_TOO_FAR:
        return Finding(
            "clock", WRONG, text, _("Let NTP (chrony, systemd-timesyncd) set the clocks of all hosts.")
        )
    return Finding("clock", OK, text)


def check_sending_domains() -> Finding:
    """RATE-5, from the last checks: asking DNS about all of them would take too long here."""
    name = "domains"
    domains = list(listed_domains())
    if not domains:
        return Finding(
            name, WARNING, _("no sending domain is registered"),
            _("Register the domain of the sender's address in the settings: mails leave unsigned without."),
        )  # fmt: skip
    now = timezone.now()
    verdicts = {
        domain.name: alignment(f"postmaster@{domain.name}", now=now, live=False) for domain in domains
    }
    bad = [domain for domain, verdict in verdicts.items() if not verdict.ok]
    if bad:
        return Finding(
            name,
            WRONG if settings.REQUIRE_ALIGNMENT else WARNING,
            _("neither SPF nor DKIM vouches for: %(domains)s") % {"domains": ", ".join(bad[:5])},
            _("See manage.py check_domain %(domain)s for what to publish.") % {"domain": bad[0]},
        )
    return Finding(name, OK, ", ".join(list(verdicts)[:5]))


def check_broker() -> Finding:
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT
        )
        memory = client.info("memory")
        version = client.info("server")["redis_version"]
    except (redis.RedisError, OSError) as error:
        return Finding(
            "broker",
            WRONG,
            str(error),
            _("Check REDIS_URL, and that Redis runs. No mail is lost while it is away."),
        )
    policy = memory.get("maxmemory_policy", "")
    if policy not in {"noeviction", ""}:
        return Finding(
            "broker",
            WARNING,
            f"Redis {version}, maxmemory-policy {policy}",
            _("Set maxmemory-policy to noeviction: Redis may drop tasks."),
        )
    return Finding("broker", OK, f"Redis {version}, {memory.get('used_memory_human', '?')}")


def check_workers() -> Finding:
    try:
        answers = current_app.control.ping(timeout=2.0)
    except (OperationalError, redis.RedisError, OSError) as error:
        return Finding(
            "workers",
            WRONG,
            str(error),
            _("Check REDIS_URL, and that Redis runs. No mail is lost while it is away."),
        )
    names = sorted(name for answer in answers for name in answer)
    if not names:
        return Finding(
            "workers",
            WRONG,
            _("no worker answers"),
            _("Start one: manage.py worker. Nothing is sent without."),
        )
    return Finding("workers", OK, ", ".join(names))


def check_tick(*, now: float) -> Finding:
    seen = cache.get(TICK_KEY)
    if seen is None:
        return Finding(
            "beat",
            WRONG,
            _("no tick was ever seen"),
            _("Start the clock: manage.py beat. Reservations do not start without."),
        )
    age = now - float(seen)
    text = _("last tick %(seconds)s seconds ago") % {"seconds": f"{max(age, 0):.0f}"}
    if age > TICK_TOO_OLD:
        return Finding(
            "beat", WRONG, text, _("Start the clock: manage.py beat. Reservations do not start without.")
        )
    return Finding("beat", OK, text)


def check_hits(*, now: datetime) -> Finding:
    """Opens, clicks and page views on their way into the tables (tracking/spool.py)."""
    try:
        seen = waiting()
    except (redis.RedisError, OSError) as error:
        return Finding(
            "hits", WRONG, str(error), _("Check SMP_SPOOL: this host must be able to read its folder.")
        )
    text = _("%(count)s wait in Redis, %(files)s files (%(kb)s KB) in the spool of this host") % {
        "count": seen.in_stream, "files": seen.files, "kb": seen.bytes // 1024,
    }  # fmt: skip
    oldest = min((at for at in (seen.oldest, seen.oldest_file) if at is not None), default=None)
    if oldest is not None:
        text += _(", the oldest for %(seconds)s seconds") % {
            "seconds": max(0, round((now - oldest).total_seconds()))
        }
    if seen.lost:
        return Finding(
            "hits", WRONG, text + _("; %(count)s were lost") % {"count": seen.lost},
            _("Neither Redis nor SMP_SPOOL took them. Check both, then delete the key smp:hits:lost in Redis."),
        )  # fmt: skip
    if seen.refused:
        return Finding(
            "hits", WARNING, text + _("; %(count)s could not be stored") % {"count": seen.refused},
            _("Read why in tracking_refusedhit; manage.py flush_hits --refused tries them again."),
        )  # fmt: skip
    if oldest is not None and now - oldest > HITS_TOO_OLD:
        return Finding(
            "hits", WRONG, text, _("Nobody stores them. Start a worker and the clock: manage.py worker, manage.py beat.")
        )  # fmt: skip
    return Finding("hits", OK, text)


def check_progress() -> Finding:
    """Mails that are due and that nobody takes (mail/delivery/watchdog.py)."""
    found = stuck(now=timezone.now())
    if not found:
        return Finding("sending", OK, _("no mail is waiting without progress"))
    since = timezone.localtime(min(one.since for one in found)).isoformat(timespec="minutes")
    jobs = ", ".join(str(one.job_id) for one in found[:5] if one.job_id is not None)
    return Finding(
        "sending",
        WRONG,
        _("Mails are due since %(since)s and nobody takes them (mailings: %(jobs)s)")
        % {"since": since, "jobs": jobs or "-"},
        _("Look at the findings above and at the workers' log, then restart the workers: manage.py worker."),
    )


def check_relay() -> Finding:
    if not settings.RELAY:
        return Finding("relay", OK, _("none: mail goes straight to the receivers"))
    return _smtp_answers(
        "relay",
        settings.RELAY,
        _("Check SMP_RELAY, and that the mail server runs. Mails wait and are retried."),
    )


def check_intake() -> Finding:
    host, _colon, port = settings.INTAKE_LISTEN.rpartition(":")
    host = "127.0.0.1" if host in {"", "0.0.0.0", "*"} else host
    return _smtp_answers(
        "intake", f"{host}:{port}", _("Start it: manage.py intake. Bounces are not recorded without.")
    )


def check_mailbox() -> list[Finding]:
    """The mailbox bounces are fetched from: whether it lets us in, and what the last poll met. [] when there is none."""
    advice = _("Check SMP_BOUNCE_IMAP and its password. Bounces wait in the mailbox until then.")
    try:
        mailbox = configured_mailbox()
        if mailbox is None:
            return []
        waiting = look(mailbox, timeout=TIMEOUT)
    except MailboxError as error:
        return [Finding("mailbox", WRONG, str(error), advice)]
    text = _("%(name)s: %(n)s mails") % {"name": mailbox.name, "n": waiting}
    last = last_poll()
    if last is None:
        start = _("Start manage.py intake, which reads it; nobody has read it within a day.")
        return [Finding("mailbox", WARNING, text, start)]
    if last["error"]:
        return [Finding("mailbox", WRONG, f"{text}; {last['error']}", advice)]
    return [Finding("mailbox", OK, text)]


def check_returned(*, now: datetime) -> Finding:
    """When something last came back. Thousands of mails without a single bounce mean that none finds its way here."""
    last = ReturnedMail.objects.order_by("-pk").values_list("at", flat=True).first()
    if last is not None and last > now - NOTHING_RETURNED:
        return Finding(
            "returned",
            OK,
            _("the last mail came back %(at)s") % {"at": f"{timezone.localtime(last):%Y-%m-%d %H:%M}"},
        )
    newest = Delivery.objects.order_by("-pk").values_list("state", "decided_at")[: 2 * MANY_SENT]
    sent = sum(state == DeliveryState.SENT and at > now - NOTHING_RETURNED for state, at in newest)
    text = _("nothing came back within %(days)s days") % {"days": NOTHING_RETURNED.days}
    if sent >= MANY_SENT:
        check = _(
            "That is unlikely. Check the MX of %(domain)s, and that mail for it reaches manage.py intake (docs/operating.md)."
        )
        return Finding("returned", WARNING, text, check % {"domain": settings.BOUNCE_DOMAIN})
    return Finding("returned", OK, text)


def _smtp_answers(name: str, address: str, advice: str) -> Finding:
    host, _colon, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), TIMEOUT) as connection_:
            connection_.settimeout(TIMEOUT)
            greeting = connection_.recv(512).decode("ascii", "replace").strip()
            connection_.sendall(b"QUIT\r\n")
    except (OSError, ValueError) as error:
        return Finding(name, WRONG, f"{address}: {error}", advice)
    if not greeting.startswith("220"):
        return Finding(name, WRONG, f"{address}: {greeting}", advice)
    return Finding(name, OK, f"{address}: {greeting}")


def check_dns() -> Finding:
    resolver = system_resolver()
    if resolver is None:
        return Finding("dns", WARNING, _("no resolver is configured"), _("Name one in /etc/resolv.conf."))
    try:
        resolver.resolve(settings.BOUNCE_DOMAIN, "MX", lifetime=TIMEOUT)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return Finding(
            "dns", WARNING, _("%(domain)s has no MX record") % {"domain": settings.BOUNCE_DOMAIN},
            _("Publish one that leads to the intake (docs/operating.md), or bounces cannot come back."),
        )  # fmt: skip
    except dns.exception.DNSException as error:
        if not settings.RELAY:
            return Finding(
                "dns", WRONG, str(error),
                _("The resolver does not answer: nothing can be sent. Check /etc/resolv.conf or SMP_DNS."),
            )  # fmt: skip
        return Finding(
            "dns",
            WARNING,
            str(error),
            _("The resolver does not answer. All mail goes through the relay, so sending goes on."),
        )
    return Finding("dns", OK, _("%(domain)s has an MX record") % {"domain": settings.BOUNCE_DOMAIN})


def check_disk() -> Finding:
    usage = shutil.disk_usage(settings.BASE_DIR)
    text = _("%(free)s GB free") % {"free": f"{usage.free / 1024**3:.1f}"}
    if usage.free < DISK_LOW:
        return Finding("disk", WRONG, text, _("Make room: PostgreSQL stops when its disk is full."))
    return Finding("disk", OK, text)
