"""設定 › 送信ドメイン: RATE-4, RATE-5, LAW-3."""

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail import alignment as gate
from mail import sending_domains as rules
from mail.check_items import UNKNOWN, CheckItem, worst
from mail.dkim import Algorithm
from mail.domain_records import readable_domain
from mail.domain_steps import key_lines, next_step, rotation_stage
from mail.forms.sending_domains import AddDomainForm, OverrideForm, PoolsForm
from mail.models import DkimKey, SendingDomain
from mail.sending_domains import DomainRefused
from settings.permissions import needs_administer, needs_edit
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.once import once

TXT_STRING = 255  # bytes of one string (RFC 1035 3.3)


@needs_edit
@require_GET
def sending_domains(request: HttpRequest) -> HttpResponse:
    page = Paginator(rules.listed_domains(), rows_per_page()).get_page(request.GET.get("page"))
    return render(
        request,
        "mail/sending_domains.html",
        {"page_obj": page, "rows": [_row(domain) for domain in page.object_list]},
    )


def _row(domain: SendingDomain) -> dict[str, object]:
    items = rules.kept_items(domain)
    return {
        "domain": domain,
        "readable": readable_domain(domain.name),
        "spf": _state(items, "spf", "spf_alignment"),
        "dkim": _state(items, "dkim", "dkim_alignment"),
        "dmarc": _state(items, "dmarc"),
        "all": worst(item for item in items if item.group == "domain"),
    }


def _state(items: list[CheckItem], *keys: str) -> str:
    return worst(item for item in items if item.key in keys) if items else UNKNOWN


@needs_administer
@require_http_methods(["GET", "POST"])
@once
def sending_domain_new(request: HttpRequest) -> HttpResponse:
    form = AddDomainForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            domain = rules.add_domain(
                form.cleaned_data["name"], user=request.user, now=timezone.now(), ip=client_ip(request)
            )
        except DomainRefused as refused:
            form.add_error("name", refused.message)
        else:
            messages.success(
                request, _("%(domain)s was registered, with a first key.") % {"domain": domain.name}
            )
            return redirect("sending_domain", domain.pk)
    return render(request, "mail/sending_domain_new.html", {"form": form})


@needs_edit
@require_GET
def sending_domain(request: HttpRequest, domain_id: int) -> HttpResponse:
    return _page(request, _domain(domain_id))


def _domain(domain_id: int) -> SendingDomain:
    return get_object_or_404(rules.listed_domains(), pk=domain_id)


def _page(
    request: HttpRequest,
    domain: SendingDomain,
    *,
    pools: PoolsForm | None = None,
    override: OverrideForm | None = None,
) -> HttpResponse:
    now = timezone.now()
    items = rules.kept_items(domain)
    keys = list(domain.keys.all())
    verdict = gate.alignment(f"postmaster@{domain.name}", now=now, live=False)
    context = {
        "domain": domain,
        "readable": readable_domain(domain.name),
        "step": next_step(domain, keys, items, now=now),
        "stage": rotation_stage(keys, items, now=now),
        "records": _records(domain, keys, items),
        "keys": key_lines(keys, items, now=now),
        "may_make": [
            algorithm
            for algorithm in ("rsa", "ed25519")
            if not any(key.algorithm == algorithm and key.state == "waiting" for key in keys)
        ],
        "items": items,
        "groups": [
            (title, found)
            for title, group in (
                (_("This domain"), "domain"),
                (_("Source IPs"), "source"),
                (_("This system"), "system"),
            )
            if (found := [item for item in items if item.group == group])
        ],
        "verdict": verdict,
        "refuses": settings.REQUIRE_ALIGNMENT,
        "exception": bool(domain.override_reason or not verdict.ok or override),
        "pools": pools or PoolsForm(domain=domain),
        "override": override or OverrideForm(),
    }
    return render(request, "mail/sending_domain.html", context)


def _records(domain: SendingDomain, keys: list[DkimKey], items: list[CheckItem]) -> list[dict[str, object]]:
    """What is to stand in DNS: of the last check, and the keys made since."""
    shown = [item for item in items if item.type == "TXT" and (item.wanted or item.found)]
    known = {item.key for item in shown}
    lines = [
        {"item": item, "title": item.title, "name": item.name, "value": item.wanted, "parts": _parts(item.wanted)}
        for item in shown
    ]  # fmt: skip
    for key in reversed(keys):
        if f"dkim:{key.selector}" not in known:
            value = rules.record_of(key)
            lines.insert(
                0,
                {
                    "item": None, "title": f"DKIM {key.selector}", "value": value, "parts": _parts(value),
                    "name": f"{key.selector}._domainkey.{domain.name}",
                },
            )  # fmt: skip
    return lines


def _parts(value: str) -> str:
    """For DNS screens that take no more than 255 characters at once: the same as several quoted strings."""
    if len(value) <= TXT_STRING:
        return ""
    return " ".join(f'"{value[at : at + TXT_STRING]}"' for at in range(0, len(value), TXT_STRING))


@needs_edit
@require_POST
def sending_domain_check(request: HttpRequest, domain_id: int) -> HttpResponse:
    """「今すぐ確認」: asks DNS, for seconds."""
    domain = _domain(domain_id)
    items = rules.check_now(domain, now=timezone.now())
    state = worst(item for item in items if item.group == "domain")
    if state == "ok":
        messages.success(request, _("Checked: all is well."))
    elif state == UNKNOWN:
        messages.warning(request, _("Checked: DNS did not answer everything."))
    else:
        messages.warning(request, _("Checked: there is something to do, see below."))
    return redirect("sending_domain", domain.pk)


@needs_administer
@require_POST
def sending_domain_pools(request: HttpRequest, domain_id: int) -> HttpResponse:
    domain = _domain(domain_id)
    form = PoolsForm(request.POST, domain=domain)
    if not form.is_valid():
        return _page(request, domain, pools=form)
    changed = rules.change_pools(
        domain, advertising=form.cleaned_data["advertising_pool"], notice=form.cleaned_data["notice_pool"],
        user=request.user, ip=client_ip(request),
    )  # fmt: skip
    if changed:
        messages.success(request, _("The pools were saved."))
    else:
        messages.info(request, _("Nothing was changed."))
    return redirect("sending_domain", domain.pk)


@needs_administer
@require_POST
def sending_domain_override(request: HttpRequest, domain_id: int) -> HttpResponse:
    """RATE-5: an administrator answers for mail that nothing vouches for."""
    domain = _domain(domain_id)
    form = OverrideForm(request.POST)
    if not form.is_valid():
        return _page(request, domain, override=form)
    try:
        gate.set_override(
            domain, form.cleaned_data["reason"], user=request.user, now=timezone.now(), ip=client_ip(request)
        )
    except DomainRefused as refused:
        form.add_error("reason", refused.message)
        return _page(request, domain, override=form)
    messages.warning(request, _("Advertising may leave from %(domain)s.") % {"domain": domain.name})
    return redirect("sending_domain", domain.pk)


@needs_administer
@require_POST
def sending_domain_override_end(request: HttpRequest, domain_id: int) -> HttpResponse:
    domain = _domain(domain_id)
    if gate.withdraw_override(domain, user=request.user, ip=client_ip(request)):
        messages.success(request, _("The exception was withdrawn."))
    return redirect("sending_domain", domain.pk)


@needs_administer
@require_http_methods(["GET", "POST"])
def sending_domain_delete(request: HttpRequest, domain_id: int) -> HttpResponse:
    domain = _domain(domain_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        rules.delete_domain(domain, user=request.user, ip=client_ip(request))
        messages.success(request, _("%(domain)s was deleted.") % {"domain": domain.name})
        return redirect("sending_domains")
    return render(request, "mail/sending_domain_confirm.html", {"domain": domain, "what": "delete"})


# ---- keys


@needs_administer
@require_POST
@once
def dkim_key_new(request: HttpRequest, domain_id: int) -> HttpResponse:
    domain = _domain(domain_id)
    algorithm: Algorithm = "ed25519" if request.POST.get("algorithm") == "ed25519" else "rsa"

    def make() -> DkimKey:
        return rules.make_key(domain, algorithm, user=request.user, now=timezone.now(), ip=client_ip(request))

    return _done(request, domain, make, _("The key %(selector)s was made. Publish its record, then check."))


def _key(domain_id: int, key_id: int) -> DkimKey:
    return get_object_or_404(_domain(domain_id).keys, pk=key_id)  # its `domain` is the one of the list


@needs_administer
@require_POST
def dkim_key_activate(request: HttpRequest, domain_id: int, key_id: int) -> HttpResponse:
    """Asks for a confirmation while DNS does not show the record."""
    key = _key(domain_id, key_id)
    confirmed = request.POST.get("confirmed") == "1"

    def activate() -> DkimKey:
        return rules.activate_key(
            key, user=request.user, now=timezone.now(), confirmed=confirmed, ip=client_ip(request)
        )

    return _done(
        request, key.domain, activate, _("Mails are signed with %(selector)s from now on."), key=key, what="activate"
    )  # fmt: skip


@needs_administer
@require_POST
def dkim_key_revoke(request: HttpRequest, domain_id: int, key_id: int) -> HttpResponse:
    """Asks for a confirmation before its time."""
    key = _key(domain_id, key_id)
    confirmed = request.POST.get("confirmed") == "1"

    def revoke() -> DkimKey:
        return rules.revoke_key(
            key, user=request.user, now=timezone.now(), confirmed=confirmed, ip=client_ip(request)
        )

    return _done(
        request, key.domain, revoke, _("The key %(selector)s was revoked. Publish its empty record."), key=key, what="revoke"
    )  # fmt: skip


@needs_administer
@require_POST
def dkim_key_delete(request: HttpRequest, domain_id: int, key_id: int) -> HttpResponse:
    key = _key(domain_id, key_id)

    def delete() -> DkimKey:
        rules.delete_key(key, user=request.user, ip=client_ip(request))
        return key

    return _done(request, key.domain, delete, _("The key %(selector)s was deleted."))


def _done(
    request: HttpRequest,
    domain: SendingDomain,
    act: Callable[[], DkimKey],
    said: str,
    *,
    key: DkimKey | None = None,
    what: str = "",
) -> HttpResponse:
    """Does it and says so; what only needs a second look is asked for."""
    try:
        done = act()
    except DomainRefused as refused:
        if refused.code in {"not_published", "too_early"}:
            return render(
                request,
                "mail/sending_domain_confirm.html",
                {"domain": domain, "key": key, "what": what, "text": refused.message},
            )
        messages.error(request, refused.message)
    else:
        messages.success(request, said % {"selector": done.selector})
        rules.check_now(domain, now=timezone.now())
    return redirect("sending_domain", domain.pk)
