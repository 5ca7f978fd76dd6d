"""設定 › リード項目: the users' own columns."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.columns import delete_column, leads_with_value, save_column, searches_using
from leads.forms import LeadColumnForm
from leads.models import LeadColumn
from settings.permissions import needs_administer
from smp.lib.once import once


@needs_administer
def lead_columns(request: HttpRequest) -> HttpResponse:
    return render(request, "leads/lead_columns.html", {"columns": LeadColumn.objects.all()})


@needs_administer
@once
def new_lead_column(request: HttpRequest) -> HttpResponse:
    return _edit(request, LeadColumn())


@needs_administer
@once
def edit_lead_column(request: HttpRequest, column_id: int) -> HttpResponse:
    return _edit(request, get_object_or_404(LeadColumn, pk=column_id))


def _edit(request: HttpRequest, column: LeadColumn) -> HttpResponse:
    form = LeadColumnForm(request.POST or None, instance=column)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save_column(column, **form.column_values(), user=request.user, now=timezone.now())
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            messages.success(request, _("The item %(label)s was saved.") % {"label": saved.label})
            return redirect("lead_columns")
    return render(request, "leads/edit_lead_column.html", {"form": form, "column": column})


@needs_administer
def delete_lead_column(request: HttpRequest, column_id: int) -> HttpResponse:
    column = get_object_or_404(LeadColumn, pk=column_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        try:
            cleared = delete_column(column, user=request.user, now=timezone.now())
        except ValidationError as problem:
            messages.error(request, " ".join(problem.messages))
        else:
            messages.success(
                request,
                _("The item %(label)s was deleted, with the values of %(count)s leads.")
                % {"label": column.label, "count": cleared},
            )
        return redirect("lead_columns")
    context = {"column": column, "count": leads_with_value(column), "searches": searches_using(column)}
    return render(request, "leads/delete_lead_column.html", context)
