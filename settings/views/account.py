"""One's own account. Sessions elsewhere end when the password changes: Django keeps a hash of it in each session."""

from django.contrib import messages
from django.contrib.auth import logout as end_session
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from settings import audit
from settings.forms.account import LoginForm, OwnPasswordForm, ProfileForm
from settings.language import remember_language
from settings.permissions import needs_login, public
from smp.lib.client_ip import client_ip

login = public(
    LoginView.as_view(
        template_name="settings/login.html", authentication_form=LoginForm, redirect_authenticated_user=True
    )
)


@public
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    language = request.LANGUAGE_CODE
    end_session(request)
    response = redirect("login")
    remember_language(request, response, language)
    return response


@public
@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """SYS-4: for the user when there is one, and for this browser."""
    next_page = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(
        next_page, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        next_page = "/"
    response = redirect(next_page)
    language = request.POST.get("language", "")
    if remember_language(request, response, language) and request.user.is_authenticated:
        request.user.language = language
        request.user.save(update_fields=["language"])
    return response


@needs_login
def profile(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        response = redirect("profile")
        remember_language(request, response, form.cleaned_data["language"])
        messages.success(request, _("Saved."))
        return response
    return render(request, "settings/profile.html", {"form": form})


@needs_login
@sensitive_post_parameters()
def change_password(request: HttpRequest) -> HttpResponse:
    form = OwnPasswordForm(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, form.user)
        audit.record("user.password", user=request.user, target=request.user, ip=client_ip(request))
        messages.success(request, _("The password was changed. You are logged out everywhere else."))
        return redirect("profile")
    return render(request, "settings/change_password.html", {"form": form})
