from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tracking.models import TrackedSite


class SiteForm(forms.ModelForm):
    """Parses only; the rules are tracking.sites.save_site's."""

    domain = forms.CharField(
        label=_("Domain"), max_length=300, help_text=_("For example www.example.co.jp, without a path."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )  # fmt: skip

    class Meta:
        model = TrackedSite
        fields = ("name", "domain", "subdomains", "consent_required")
        help_texts = {
            "name": _("What you call it in lists."),
            "subdomains": _("example.co.jp with shop.example.co.jp: one visitor stays one on all of them."),
            "consent_required": _(
                "Before the visitor said yes on the site there is no cookie and no request. Ask your legal department before you switch it off."
            ),
        }

    def add_problems(self, error: ValidationError) -> None:
        for name, errors in error.error_dict.items():
            self.add_error(name if name in self.fields else None, errors)

    def _post_clean(self) -> None:
        """The domain becomes A-labels first: tracking.sites says whether it is taken."""
