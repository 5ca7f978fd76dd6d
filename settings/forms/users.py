from django import forms
from django.utils.translation import gettext_lazy as _

from settings.models import Role, User


class UserForm(forms.ModelForm):
    """Parses only; the rules are settings.users.save_user's."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ["username", "name", "email", "role", "language", "is_active"]
        widgets = {"role": forms.RadioSelect}
        labels = {"username": _("Login ID"), "email": _("E-mail address"), "is_active": _("May log in")}
        help_texts = {
            "username": _("Letters, digits and @ . + - _ , at most 150 characters."),
            "is_active": _(
                "Without the tick the user is deactivated: logged out at once, the history stays readable."
            ),
        }

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = Role.choices
        password = self.fields["password"]
        if self.instance.pk:
            password.required = False
            password.label = _("New password")
            password.help_text = _(
                "Leave empty to keep the present one. A new one ends all sessions of this user."
            )
        else:
            password.help_text = _("At least 10 characters, not only digits, not a common one.")
            del self.fields["is_active"]
