"""The sites whose pages carry the script (WEB-1): 設定 › トラッキング設定.

A tag names its site by a key. Views count only when they come from the site's own host: the browser says so (Origin).
Our own public pages are a site too, made by the product itself when the setting TRACK_OWN_PAGES is on.
"""

import json
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import translation
from django.utils.translation import gettext as _

from mail.delivery.remembered import Remembered
from settings import audit
from settings.models import User
from settings.system_settings import get_setting
from tracking.models import TrackedSite
from tracking.page_urls import ascii_host, host_of

OWN = "own"  # the key of our own pages
TRACK_OWN_PAGES = "track_own_pages"
SCRIPT_PATH = "/t.js"  # tracking/public_urls.py. It stands in customers' pages: never change it.
FIELDS = ("name", "domain", "subdomains", "consent_required", "active")


def _load() -> dict[str, TrackedSite]:
    """The sites in use by their keys. Our own pages have a row only once a view of them came."""
    found = {site.key: site for site in TrackedSite.objects.filter(active=True)}
    own = found.pop(OWN, None)
    if counts_own_pages():
        found[OWN] = own or TrackedSite(key=OWN, domain=own_host(), subdomains=False)
    return found


_sites: Remembered[dict[str, TrackedSite]] = Remembered(_load, seconds=5, otherwise={})


def forget_sites() -> None:
    """After a change; other processes notice it within five seconds."""
    _sites.forget()


def active_site(key: str) -> TrackedSite | None:
    return _sites.get_or_last().get(key)


def site_of(host: str, key: str) -> TrackedSite | None:
    """The site in use with this key, if pages of `host` (page_urls.host_of) belong to it."""
    site = active_site(key) if host else None
    if key == OWN:
        return site if host == own_host() else None
    return site if site and belongs(host, site) else None


def belongs(host: str, site: TrackedSite) -> bool:
    return host == site.domain or (site.subdomains and host.endswith("." + site.domain))


def leads_to_tracked_site(host: str) -> bool:
    """Whether the script may run there."""
    return bool(host) and any(belongs(host, site) for site in _sites.get_or_last().values())


def counts_own_pages() -> bool:
    return bool(get_setting(TRACK_OWN_PAGES))


def own_host() -> str:
    return host_of(settings.BASE_URL)


def tag_of(site: TrackedSite) -> str:
    """What is pasted into each page of the site."""
    return f'<script async src="{settings.BASE_URL}{SCRIPT_PATH}?site={site.key}"></script>'


def script_settings(key: str) -> str:
    """What the script knows of the site with this key, as JSON. "null": it does nothing there.

    On our own pages it runs also where nothing is counted: it keeps the id that a site handed over (visitor_cookie.py)."""
    own, site = key == OWN, active_site(key)
    if site is None and not own:
        return "null"
    known = {"key": key, "own": own, "base": _origin(settings.BASE_URL), "domain": "", "subdomains": False}
    known |= {"consent": True, "views": not own or counts_own_pages()}
    if site is not None and not own:
        domain = re.sub(r":\d+$", "", site.domain)
        known |= {"domain": domain, "subdomains": site.subdomains, "consent": site.consent_required}
    return json.dumps(known)


def _origin(url: str) -> str:
    """As browsers write it: without the scheme's own port."""
    return f"{urlsplit(url).scheme}://{host_of(url)}"


# ---- changing them


def clean_domain(text: str) -> str:
    """A site's domain as it is stored, from a domain, a host with its port, or the address of one of its pages.
    ValidationError for anything else."""
    text = text.strip()
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        name, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        name, port, parts = "", None, None
    if not name or not parts or parts.scheme not in {"http", "https"} or parts.username is not None:
        raise ValidationError(
            _("“%(text)s” is no domain. Enter it like www.example.co.jp."), params={"text": text[:100]}
        )
    return f"{name}:{port}" if port and port not in {80, 443} else name


def save_site(
    site: TrackedSite | None, values: dict[str, Any], *, user: User | None, ip: str | None = None
) -> TrackedSite:
    """Makes a site, or changes it. `values`: FIELDS. ValidationError by field."""
    values = {name: values[name] for name in FIELDS if name in values}
    values["name"] = str(values["name"]).strip()
    try:
        values["domain"] = clean_domain(str(values["domain"]))
    except ValidationError as problem:
        raise ValidationError({"domain": problem}) from None
    if values["domain"] == own_host():
        text = _(
            "These are our own pages. They are counted with the setting on the page “Tracking settings”."
        )
        raise ValidationError({"domain": text})
    taken = ValidationError({"domain": _("This domain is there already.")})
    try:
        with transaction.atomic():
            if site is None:
                made = TrackedSite.objects.create(key=secrets.token_hex(8), **values)
                audit.record("tracked_site.create", user=user, target=made, detail=dict(values), ip=ip)
                site = made
            else:
                site = TrackedSite.objects.select_for_update().exclude(key=OWN).get(pk=site.pk)
                changes = {
                    name: [getattr(site, name), value]
                    for name, value in values.items()
                    if getattr(site, name) != value
                }
                if changes:
                    for name, value in values.items():
                        setattr(site, name, value)
                    site.save()
                    audit.record(
                        "tracked_site.edit", user=user, target=site, detail={"changes": changes}, ip=ip
                    )
    except IntegrityError:
        raise taken from None
    forget_sites()
    return site


def stop_or_go_on(site: TrackedSite, active: bool, *, user: User | None, ip: str | None = None) -> bool:
    """False when it was so already."""
    with transaction.atomic():
        site = TrackedSite.objects.select_for_update().exclude(key=OWN).get(pk=site.pk)
        if site.active == active:
            return False
        site.active = active
        site.save(update_fields=["active"])
        changes = {"active": [not active, active]}
        audit.record("tracked_site.edit", user=user, target=site, detail={"changes": changes}, ip=ip)
    forget_sites()
    return True


def own_site_id() -> int:
    """The row of our own pages, made when the first view of them is stored; its domain follows SMP_BASE_URL."""
    with translation.override(settings.LANGUAGE_CODE):
        name = _("Our own pages (applications, my page)")
    values = {"name": name, "domain": own_host(), "subdomains": False}
    site, made = TrackedSite.objects.get_or_create(key=OWN, defaults=values)
    if not made and site.domain != own_host():
        site.domain = own_host()
        site.save(update_fields=["domain"])
    if made:
        forget_sites()
    return site.pk
