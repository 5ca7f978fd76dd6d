"""申込フォーム: its items, its preview and its consent text, inside one campaign."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from campaigns.application_form import ApplicationForm
from campaigns.consent_texts import current_consent_text, set_consent_text
from campaigns.form_items import (
    ItemValues,
    add_item,
    addable_columns,
    addable_lead_items,
    always,
    always_required,
    ensure_default_items,
    items_of,
    label_of,
    lead_label,
    move_item,
    restore_item,
    retire_item,
    save_item,
)
from campaigns.forms.form_items import ConsentTextForm, FormItemForm
from campaigns.models import Application, FormItem, ItemSource
from leads.models import LeadColumn
from settings.permissions import campaign_mode, needs_edit, needs_view
from smp.lib.once import once


@campaign_mode
@needs_view
def form_items(request: HttpRequest) -> HttpResponse:
    campaign = request.campaign
    language = request.LANGUAGE_CODE
    items = items_of(campaign)
    columns = {column.key: column for column in LeadColumn.objects.all()}
    retired = campaign.form_items.filter(source=ItemSource.QUESTION).exclude(retired_at=None)
    page = {
        "rows": [
            {
                "item": item,
                "label": label_of(item, language, columns),
                "gone": item.source == ItemSource.COLUMN and item.field not in columns,
                "always": always(item),
                "required": item.required or always_required(item),
                "choices": [choice["label"] for choice in item.choices if not choice.get("retired")],
            }
            for item in items
        ],
        "stored": bool(items and items[0].pk),
        "lead_items": [(name, lead_label(name, language)) for name in addable_lead_items(items)],
        "columns": addable_columns(items),
        "retired": retired,
        "consent_text": current_consent_text(campaign),
    }
    return render(request, "campaigns/form_items.html", page)


@campaign_mode
@needs_edit
@require_POST
def form_items_start(request: HttpRequest) -> HttpResponse:
    ensure_default_items(request.campaign)
    return redirect("form_items")


@campaign_mode
@needs_edit
@require_POST
def form_item_add(request: HttpRequest) -> HttpResponse:
    """A lead item or an added item: `what` is lead:phone or column:3."""
    source, _colon, field = request.POST.get("what", "").partition(":")
    try:
        if source not in {ItemSource.LEAD, ItemSource.COLUMN}:
            raise ValidationError(_("Choose one of the items offered."))
        item = add_item(
            request.campaign, source, field, values=ItemValues(), user=request.user, now=timezone.now()
        )
    except ValidationError as problem:
        messages_of(request, problem)
        return redirect("form_items")
    return redirect("form_item_edit", item.pk)


@campaign_mode
@needs_edit
@once
def form_item_new(request: HttpRequest) -> HttpResponse:
    """A new question."""
    item = FormItem(campaign=request.campaign, source=ItemSource.QUESTION)
    form = FormItemForm(request.POST or None, item=item)
    if request.method == "POST" and form.is_valid():
        try:
            add_item(
                request.campaign,
                ItemSource.QUESTION,
                values=form.values(),
                user=request.user,
                now=timezone.now(),
            )
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            return redirect("form_items")
    return render(request, "campaigns/form_item_edit.html", {"form": form, "item": item})


@campaign_mode
@needs_edit
def form_item_edit(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(request, pk)
    form = FormItemForm(request.POST or None, item=item)
    if request.method == "POST" and form.is_valid():
        try:
            save_item(item, form.values(), user=request.user, now=timezone.now())
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            return redirect("form_items")
    page = {
        "form": form,
        "item": item,
        "label": label_of(item, request.LANGUAGE_CODE),
        "answers": _answers(item),
        "always": always(item),
    }
    return render(request, "campaigns/form_item_edit.html", page)


@campaign_mode
@needs_edit
@require_POST
def form_item_move(request: HttpRequest, pk: int) -> HttpResponse:
    move_item(_item(request, pk), up=request.POST.get("to") == "up", user=request.user, now=timezone.now())
    return redirect("form_items")


@campaign_mode
@needs_edit
def form_item_retire(request: HttpRequest, pk: int) -> HttpResponse:
    item = _item(request, pk)
    if request.method == "POST":
        try:
            retire_item(item, user=request.user, now=timezone.now())
        except ValidationError as problem:
            messages_of(request, problem)
        return redirect("form_items")
    page = {"item": item, "label": label_of(item, request.LANGUAGE_CODE), "answers": _answers(item)}
    return render(request, "campaigns/form_item_retire.html", page)


@campaign_mode
@needs_edit
@require_POST
def form_item_restore(request: HttpRequest, pk: int) -> HttpResponse:
    restore_item(get_object_or_404(request.campaign.form_items, pk=pk), user=request.user, now=timezone.now())
    return redirect("form_items")


@campaign_mode
@needs_view
def form_preview(request: HttpRequest) -> HttpResponse:
    """The real form in both languages; it sends nothing."""
    language = "en" if request.GET.get("form_language") == "en" else "ja"
    with translation.override(language):
        form = ApplicationForm(request.campaign, language=language)
        return render(
            request,
            "campaigns/form_preview.html",
            {"form": form, "language": language, "campaign": request.campaign},
        )


@campaign_mode
@needs_edit
def consent_text(request: HttpRequest) -> HttpResponse:
    """OPT-10: a change is a new version."""
    form = ConsentTextForm(request.POST or None, current=current_consent_text(request.campaign))
    if request.method == "POST" and form.is_valid():
        try:
            set_consent_text(
                request.campaign,
                form.cleaned_data["text"],
                form.cleaned_data["text_en"],
                user=request.user,
                now=timezone.now(),
            )
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            return redirect("consent_text")
    agreed = Application.objects.filter(consent_text=OuterRef("pk")).order_by().values("consent_text")
    versions = request.campaign.consent_texts.select_related("created_by").annotate(
        agreed=Subquery(agreed.annotate(n=Count("pk")).values("n"))
    )
    return render(request, "campaigns/consent_text.html", {"form": form, "versions": versions})


def _item(request: HttpRequest, pk: int) -> FormItem:
    """A live item of this campaign; 404 for every other."""
    items = request.campaign.form_items.select_related("campaign")
    return get_object_or_404(items, pk=pk, retired_at=None)


def _answers(item: FormItem) -> int:
    if item.source != ItemSource.QUESTION:
        return 0
    return Application.objects.filter(campaign_id=item.campaign_id, answers__has_key=item.key).count()


def messages_of(request: HttpRequest, problem: ValidationError) -> None:
    for text in problem.messages:
        messages.error(request, text)
