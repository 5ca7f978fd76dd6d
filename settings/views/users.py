"""設定 › ユーザ."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from settings.forms.users import UserForm
from settings.models import User
from settings.permissions import needs_administer
from settings.system_settings import rows_per_page
from settings.users import save_user
from smp.lib.client_ip import client_ip
from smp.lib.once import once

SORTS = {"username", "name", "role", "last_login", "is_active"}


@needs_administer
def users(request: HttpRequest) -> HttpResponse:
    sort = request.GET.get("sort", "username")
    if sort.removeprefix("-") not in SORTS:
        sort = "username"
    page = Paginator(User.objects.order_by(sort, "pk"), rows_per_page()).get_page(request.GET.get("page"))
    return render(request, "settings/users.html", {"page_obj": page, "sort": sort})


@needs_administer
@sensitive_post_parameters("password")
@once
def add_user(request: HttpRequest) -> HttpResponse:
    return _edit(request, User())


@needs_administer
@sensitive_post_parameters("password")
def edit_user(request: HttpRequest, user_id: int) -> HttpResponse:
    return _edit(request, get_object_or_404(User, pk=user_id))


def _edit(request: HttpRequest, user: User) -> HttpResponse:
    name = str(user) if user.pk else ""
    form = UserForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        try:
            changed = save_user(user, form.cleaned_data, by=request.user, ip=client_ip(request))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            if "password" in changed and user.pk == request.user.pk:
                update_session_auth_hash(request, user)
            messages.success(request, _("%(user)s was saved.") % {"user": user})
            return redirect("users")
    return render(request, "settings/edit_user.html", {"form": form, "edited": user, "edited_name": name})
