"""設定 › APIキー (API-1)."""

from typing import Any

from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from settings.api_keys import make_key, revoke_key
from settings.forms.api_keys import ApiKeyForm
from settings.models import ApiKey
from settings.permissions import needs_administer
from settings.system_settings import rows_per_page
from smp.lib.client_ip import client_ip
from smp.lib.once import once

SHOWN_FOR = 300  # seconds after it was made, to who made it


@needs_administer
def api_keys(request: HttpRequest) -> HttpResponse:
    keys = ApiKey.objects.select_related("created_by")
    page = Paginator(keys, rows_per_page()).get_page(request.GET.get("page"))
    return render(request, "settings/api_keys.html", {"page_obj": page, "now": timezone.now()})


@needs_administer
@once
def api_key_new(request: HttpRequest) -> HttpResponse:
    form = ApiKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        try:
            made = make_key(
                form.cleaned_data["name"], form.cleaned_data["scopes"], expires_at=form.expires_at(now), user=request.user, now=now,
                ip=client_ip(request),
            )  # fmt: skip
        except ValidationError as error:
            form.add_problems(error)
        else:
            _remember(request, made.key, made.text)
            return redirect("api_key", made.key.pk)
    return render(request, "settings/api_key_new.html", {"form": form})


@needs_administer
@never_cache
def api_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """One key; just made, with its text, for five minutes and for its maker only."""
    key = get_object_or_404(ApiKey.objects.select_related("created_by"), pk=key_id)
    context = {"key": key, "text": _recall(request, key), "now": timezone.now()}
    return render(request, "settings/api_key.html", context)


@needs_administer
def api_key_revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        if revoke_key(key, user=request.user, now=timezone.now(), ip=client_ip(request)):
            messages.success(request, _("The API key “%(key)s” was revoked.") % {"key": key})
        return redirect("api_keys")
    return render(request, "settings/api_key_revoke.html", {"key": key})


def _slot(request: HttpRequest, key: ApiKey) -> str:
    return f"api-key-text:{key.pk}:{request.user.pk}"


def _remember(request: HttpRequest, key: ApiKey, text: str) -> None:
    try:
        cache.set(_slot(request, key), text, timeout=SHOWN_FOR)
    except (RedisError, OSError):
        warning = _("The key cannot be shown just now. Revoke it and make another one in a few minutes.")
        messages.error(request, warning)


def _recall(request: HttpRequest, key: ApiKey) -> Any:
    try:
        return cache.get(_slot(request, key), "")
    except (RedisError, OSError):
        return ""
