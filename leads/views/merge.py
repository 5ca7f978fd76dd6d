"""リード(申込者) › マージ (APP-5): find duplicates, choose value by value, confirm, and take it back."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from leads.duplicates import KINDS, find_duplicates
from leads.history import change_labels, in_words, shown_value
from leads.merge import (
    CHOSEN_FIELDS,
    MOST,
    UNDO_FOR,
    MergeRefused,
    expected_consent,
    may_undo,
    what_goes_along,
)
from leads.merge import merge as merge_leads
from leads.merge import undo as undo_merge
from leads.models import Lead, LeadColumn, LeadMerge
from leads.scope import leads_in
from settings.permissions import both_modes, needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.mode import campaign_of
from smp.lib.once import once

SHOWN_GROUPS = 50


@both_modes
@needs_edit
def merge(request: HttpRequest) -> HttpResponse:
    """重複チェック: leads that look like one person."""
    by = request.GET.get("by", "")
    by = by if by in KINDS else "email"
    groups = find_duplicates(leads_in(campaign_of(request)), by, limit=SHOWN_GROUPS)
    done = _merges_in(request)[:20] if request.user.may_administer else []
    context = {"by": by, "kinds": KINDS, "groups": groups, "shown": SHOWN_GROUPS, "done": done, "most": MOST}
    return render(request, "leads/merge.html", context)


@both_modes
@needs_edit
def merge_choose(request: HttpRequest) -> HttpResponse:
    """The leads side by side (?lead=…&lead=…, or posted from the list); with a choice, what it would make."""
    data = request.POST if request.method == "POST" else request.GET
    leads = _leads(request, data)
    if len(leads) < 2 or len(leads) > MOST:
        text = _("Choose two to ten leads: tick them in the list, or enter their IDs.")
        messages.error(request, text)
        return redirect("merge")
    survivor = next((lead for lead in leads if str(lead.pk) == data.get("survivor")), leads[0])
    labels = change_labels(LeadColumn.objects.all())
    rows = [_row(name, label, leads, survivor, data) for name, label in labels.items() if _choosable(name)]
    rows = [row for row in rows if any(cell["value"] for cell in row["cells"])]
    loosen = data.get("loosen") == "1"
    context = {
        "leads": leads,
        "survivor": survivor,
        "different": [row for row in rows if row["different"]],
        "same": [row for row in rows if not row["different"]],
        "along": [(lead, words) for lead in leads if (words := what_goes_along([lead.pk])[lead.pk])],
        "consent": expected_consent(survivor, leads),
        "loosen": loosen,
        "days": UNDO_FOR.days,
    }
    chosen = request.method == "POST" and "survivor" in request.POST and "back" not in request.POST
    template = "leads/merge_confirm.html" if chosen else "leads/merge_choose.html"
    return render(request, template, context)


@both_modes
@needs_edit
@require_POST
@once
def merge_do(request: HttpRequest) -> HttpResponse:
    leads = _leads(request, request.POST)
    chosen = {
        name.removeprefix("value_"): int(value)
        for name, value in request.POST.items()
        if name.startswith("value_") and value.isascii() and value.isdecimal() and len(value) < 19
    }
    survivor = request.POST.get("survivor", "")
    known = {str(lead.pk): lead.pk for lead in leads}
    try:
        if survivor not in known:
            raise MergeRefused(_("Choose the lead that stays."))
        done = merge_leads(
            known[survivor], list(known.values()), chosen=chosen, user=request.user, now=timezone.now(),
            loosen=request.POST.get("loosen") == "1", ip=client_ip(request),
        )  # fmt: skip
    except MergeRefused as refused:
        messages.error(request, str(refused))
        return redirect("merge")
    messages.success(request, _("The leads were merged. This can be undone for 30 days."))
    return redirect("lead_merge", done.pk)


@both_modes
@needs_edit
def lead_merge(request: HttpRequest, merge_id: int) -> HttpResponse:
    """One merge that was done: what became of it, and the way back."""
    done = _merge_in(request, merge_id)
    labels = change_labels(LeadColumn.objects.all())
    before, after = done.values["before"], done.values["after"]
    flat = [
        (name, before[name], after[name])
        for name in (*CHOSEN_FIELDS, "dm_permission", "unsubscribed_at", "email_valid")
    ]
    flat += [
        (f"extra.{key}", before["extra"].get(key), after["extra"].get(key))
        for key in sorted({*before["extra"], *after["extra"]})
    ]
    changes = [
        (labels.get(name, name), shown_value(name, old), shown_value(name, new))
        for name, old, new in flat
        if old != new
    ]
    context = {
        "done": done,
        "changes": changes,
        "merged": Lead.objects.filter(pk__in=done.merged_ids),
        "refusal": may_undo(done, now=timezone.now()),
        "until": done.at + UNDO_FOR,
    }
    return render(request, "leads/lead_merge.html", context)


@both_modes
@needs_edit
@require_POST
def lead_merge_undo(request: HttpRequest, merge_id: int) -> HttpResponse:
    done = _merge_in(request, merge_id)
    try:
        left = undo_merge(done, user=request.user, now=timezone.now(), ip=client_ip(request))
    except MergeRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("The merge was undone: the leads are there again."))
        if left:
            labels = change_labels(LeadColumn.objects.all())
            named = "、".join(labels.get(name, name) for name in left if name in labels)
            text = _("Changed since the merge, and therefore left as it is: %(fields)s") % {"fields": named}
            messages.warning(request, text)
    return redirect("lead_merge", done.pk)


def _merges_in(request: HttpRequest) -> QuerySet[LeadMerge]:
    """In a campaign only merges of its applicants."""
    merges = LeadMerge.objects.select_related("survivor", "user", "undone_by")
    if campaign_of(request) is None:
        return merges
    return merges.filter(survivor__in=leads_in(campaign_of(request)))


def _merge_in(request: HttpRequest, merge_id: int) -> LeadMerge:
    return get_object_or_404(_merges_in(request), pk=merge_id)


def _leads(request: HttpRequest, data: QueryDict) -> list[Lead]:
    """By ?lead= (ticked) or ?ids= (typed), in the order of their ids; what does not exist here is left out."""
    words = [*data.getlist("lead"), *data.get("ids", "").replace("、", ",").replace(",", " ").split()]
    words = [word.lstrip("#＃") for word in words]
    ids = {int(word) for word in words if word.isascii() and word.isdecimal() and len(word) < 19}
    return list(
        leads_in(campaign_of(request)).filter(pk__in=list(ids)[: MOST * 10]).order_by("pk")[: MOST + 1]
    )


def _choosable(name: str) -> bool:
    return name in CHOSEN_FIELDS or name.startswith("extra.")


def _row(name: str, label: str, leads: list[Lead], survivor: Lead, data: QueryDict) -> dict[str, Any]:
    """One item: the value of each lead; taken is what was chosen, else the survivor's, else the first that has one."""
    values = {
        lead.pk: lead.extra.get(name.removeprefix("extra."))
        if name.startswith("extra.")
        else getattr(lead, name)
        for lead in leads
    }
    filled = [pk for pk, value in values.items() if value not in (None, "")]
    usual = survivor.pk if survivor.pk in filled or not filled else filled[0]
    taken = next((pk for pk in values if str(pk) == data.get(f"value_{name}")), usual)
    cells = [
        {
            "lead": pk,
            "value": in_words(name, value),
            "taken": pk == taken,
        }
        for pk, value in values.items()
    ]
    return {
        "name": name,
        "label": label,
        "cells": cells,
        "different": len({str(value or "") for value in values.values()}) > 1,
        "taken": taken,
        "result": next(cell["value"] for cell in cells if cell["taken"]),
    }
