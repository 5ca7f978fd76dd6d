"""設定 › 配信速度 (RATE-1, RATE-3): everybody looks, privileged administrators change. Rules: mail/speed_changes.py."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail.delivery.retries import retry_plan
from mail.delivery.slowed import RedisAway
from mail.delivery.speed_rules import RELAY, SpeedRule
from mail.forms.speed import DomainQuestionForm, SourceIpForm, SpeedRuleForm
from mail.speed_changes import (
    WITHOUT_NAMES,
    default_rule,
    delete_rule,
    delete_source,
    release,
    reset_rule,
    rule_values,
    save_rule,
    save_source,
)
from mail.speed_queries import ptr_checks, rule_lines, rule_of_domain, slowed_lines
from mail.warmup_queries import warmups_today
from settings.models import DomainRule, SourceIp, Tls
from settings.permissions import needs_administer, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.once import once


@needs_view
@require_GET
def speed(request: HttpRequest) -> HttpResponse:
    asked = DomainQuestionForm(request.GET if "domain" in request.GET else None)
    answer = rule_of_domain(asked.cleaned_data["domain"]) if asked.is_valid() else None
    sources = list(SourceIp.objects.all())
    lines = rule_lines()
    names = {line.rule.key: str(line.rule.name) for line in lines}
    warmups = warmups_today(sources, now=timezone.now(), names=names)
    checks = ptr_checks() if sources else {}
    return render(
        request,
        "mail/speed.html",
        {
            "lines": lines,
            "plan": (plan := retry_plan()),
            "plan_hours": plan.period_minutes // 60,
            "tls": Tls.choices,
            "asked": asked,
            "slowed": slowed_lines(),
            "answer": answer,
            "sources": [(source, warmups.get(source.pk), checks.get(source.address)) for source in sources],
        },
        status=422 if asked.is_bound and not answer else 200,
    )


@needs_view
@require_GET
def speed_slowed(request: HttpRequest) -> HttpResponse:
    """The live part, asked for every ten seconds."""
    return render(request, "mail/speed_slowed.html", {"slowed": slowed_lines()})


@needs_administer
@require_POST
def speed_release(request: HttpRequest) -> HttpResponse:
    key, source = request.POST.get("key", "")[:200], request.POST.get("source", "")[:60]
    try:
        released = release(key, source, user=request.user, now=timezone.now(), ip=client_ip(request))  # type: ignore[arg-type]
    except RedisAway:
        messages.error(request, _("Redis does not answer, so nothing could be released. Try again later."))
    else:
        if released:
            messages.success(request, _("Released: mails go there at full speed again."))
        else:
            messages.info(request, _("It is not slowed any more."))
    return redirect("speed")


# ---- rules


@needs_administer
@require_http_methods(["GET", "POST"])
def speed_rule(request: HttpRequest, key: str) -> HttpResponse:
    """A default rule, changed or not."""
    default = default_rule(key)
    if default is None:
        raise Http404
    row = DomainRule.objects.select_related("updated_by").filter(key=key).first() or DomainRule(key=key)
    return _edit_rule(request, row, default)


@needs_administer
@require_http_methods(["GET", "POST"])
def speed_own_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    row = get_object_or_404(DomainRule.objects.select_related("updated_by"), pk=rule_id, key=None)
    return _edit_rule(request, row, None)


@needs_administer
@require_http_methods(["GET", "POST"])
@once
def speed_rule_add(request: HttpRequest) -> HttpResponse:
    return _edit_rule(request, DomainRule(), None)


def _edit_rule(request: HttpRequest, row: DomainRule, default: SpeedRule | None) -> HttpResponse:
    values = rule_values(row if row.pk or default is None else default)  # type: ignore[arg-type]
    form = SpeedRuleForm(
        values, key=row.key, seen=row.updated_at if row.pk else None, data=request.POST or None
    )
    if request.method == "POST" and form.is_valid():
        try:
            changed = save_rule(row, form.values, user=request.user, seen=form.seen_at, ip=client_ip(request))  # type: ignore[arg-type]
        except ValidationError as error:
            form.add_error(None, error)
        else:
            said = _("The rule “%(name)s” was saved.") % {"name": form.cleaned_data["name"]}
            messages.success(request, said) if changed else messages.info(request, _("Nothing was changed."))
            return redirect("speed")
    context = {
        "form": form,
        "row": row,
        "default": rule_values(default) if default else None,
        "title": row.name if row.pk else default.name if default else _("Add a rule"),
        "everything_else": row.key in WITHOUT_NAMES and row.key != RELAY,
        "relay": row.key == RELAY,
    }
    return render(request, "mail/speed_rule.html", context, status=422 if form.errors else 200)


@needs_administer
@require_POST
def speed_rule_reset(request: HttpRequest, key: str) -> HttpResponse:
    """「既定値に戻す」."""
    if default_rule(key) is None:
        raise Http404
    if reset_rule(key, user=request.user, ip=client_ip(request)):  # type: ignore[arg-type]
        messages.success(request, _("The rule is as delivered again."))
    else:
        messages.info(request, _("Nothing was changed."))
    return redirect("speed")


@needs_administer
@require_http_methods(["GET", "POST"])
def speed_rule_delete(request: HttpRequest, rule_id: int) -> HttpResponse:
    if request.method == "POST":
        if delete_rule(rule_id, user=request.user, ip=client_ip(request)):  # type: ignore[arg-type]
            messages.success(request, _("The rule was deleted."))
        else:
            messages.info(request, _("Nothing was changed."))
        return redirect("speed")
    row = get_object_or_404(DomainRule, pk=rule_id, key=None)
    text = _("Its domains go by the other rules from then on, mostly by “All other domains”.")
    return _ask(request, row.name, _("Delete this rule?"), text)


# ---- source IPs


@needs_administer
@require_http_methods(["GET", "POST"])
@once
def speed_source_add(request: HttpRequest) -> HttpResponse:
    return _edit_source(request, SourceIp())


@needs_administer
@require_http_methods(["GET", "POST"])
def speed_source(request: HttpRequest, source_id: int) -> HttpResponse:
    return _edit_source(request, get_object_or_404(SourceIp, pk=source_id))


def _edit_source(request: HttpRequest, row: SourceIp) -> HttpResponse:
    title = row.address
    form = SourceIpForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        try:
            changed = save_source(row, form.values, user=request.user, ip=client_ip(request))  # type: ignore[arg-type]
        except ValidationError as error:
            form.add_error(None, error)
        else:
            said = _("%(address)s was saved.") % {"address": row.address}
            messages.success(request, said) if changed else messages.info(request, _("Nothing was changed."))
            return redirect("speed")
    context: dict[str, Any] = {"form": form, "row": row, "title": title or _("Add a source IP")}
    return render(request, "mail/speed_source.html", context, status=422 if form.errors else 200)


@needs_administer
@require_http_methods(["GET", "POST"])
def speed_source_delete(request: HttpRequest, source_id: int) -> HttpResponse:
    if request.method == "POST":
        if delete_source(source_id, user=request.user, ip=client_ip(request)):  # type: ignore[arg-type]
            messages.success(request, _("The source IP was deleted."))
        else:
            messages.info(request, _("Nothing was changed."))
        return redirect("speed")
    row = get_object_or_404(SourceIp, pk=source_id)
    text = _(
        "Nothing is sent from it any more. Its warm-up is forgotten: to stop it for a while, switch “In use” off instead."
    )
    return _ask(request, row.address, _("Delete this source IP?"), text)


def _ask(request: HttpRequest, name: str, question: str, text: str) -> HttpResponse:
    return render(request, "mail/speed_confirm.html", {"name": name, "question": question, "text": text})
