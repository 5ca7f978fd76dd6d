"""設定 › システム設定一覧."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from settings.forms.system_settings import SystemSettingForm
from settings.models import AuditEntry, SystemSetting
from settings.permissions import needs_administer
from settings.system_settings import SETTINGS, get_setting, set_setting, settings_by_section, show_value
from smp.lib.client_ip import client_ip


@needs_administer
def system_settings(request: HttpRequest) -> HttpResponse:
    return render(request, "settings/system_settings.html", {"sections": settings_by_section()})


@needs_administer
def edit_system_setting(request: HttpRequest, key: str) -> HttpResponse:
    """A setting with a warning is asked for twice; the second page shows before, after and the warning."""
    setting = SETTINGS.get(key)
    if setting is None:
        raise Http404
    value = get_setting(key)
    form = SystemSettingForm(setting, value, request.POST or None)
    context = {
        "setting": setting,
        "form": form,
        "now": show_value(setting, value),
        "default": show_value(setting, setting.default),
        "row": SystemSetting.objects.select_related("updated_by").filter(key=key).first(),
        "history": AuditEntry.objects.filter(target_type="systemsetting", target_id=key)[:5],
    }
    if request.method == "POST" and form.is_valid():
        new = form.cleaned_data["value"]
        if setting.warning and new != value and "confirmed" not in request.POST:
            raw = {
                "value": ("1" if new else "0") if setting.type is bool else new,
                "seen": form.cleaned_data["seen"],
            }
            return render(
                request,
                "settings/confirm_system_setting.html",
                context | {"new": show_value(setting, new), "hidden": raw.items()},
            )
        try:
            changed = set_setting(key, new, user=request.user, expected=form.expected, ip=client_ip(request))
        except ValidationError as error:
            form.add_error("value", error)
        else:
            if changed:
                messages.success(
                    request,
                    _("%(setting)s is now: %(value)s")
                    % {"setting": setting, "value": show_value(setting, new)},
                )
            else:
                messages.info(request, _("Nothing was changed."))
            return redirect("system_settings")
    return render(request, "settings/edit_system_setting.html", context)
