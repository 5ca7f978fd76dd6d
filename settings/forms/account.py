from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.utils.translation import gettext_lazy as _

from settings.models import User


class LoginForm(AuthenticationForm):
    """The same answer for an unknown id, a wrong password and a deactivated user; Django hashes once in each case."""

    error_messages = {
        "invalid_login": _("The login ID or the password is wrong."),
        "inactive": _("The login ID or the password is wrong."),
    }

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Login ID")
        self.fields["password"].label = _("Password")

    def clean(self):
        # Such names belong to nobody: PostgreSQL compares no NUL byte, and django-axes cannot store a longer one.
        username = self.data.get(self.add_prefix("username")) or ""
        if "\0" in username or len(username) > User._meta.get_field("username").max_length:
            raise self.get_invalid_login_error()
        return super().clean()


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["name", "email", "language"]
        labels = {"email": _("E-mail address")}


class OwnPasswordForm(PasswordChangeForm):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = _("Present password")
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password2"].label = _("New password, once more")
        self.fields["new_password2"].help_text = ""
