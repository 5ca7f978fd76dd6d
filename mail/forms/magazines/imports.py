"""The upload form of 「インポート」 inside a magazine."""

from django import forms
from django.utils.translation import gettext_lazy as _

from leads.import_forms import CHOSEN_AT_UPLOAD, CsvField
from mail.magazines.imports.steps import MOST_MEGABYTES


class ReaderImportForm(forms.Form):
    """OPT-10: on what the consent of these people is based is asked each time, and has no answer until one is given."""

    file = CsvField(megabytes=MOST_MEGABYTES)
    evidence = forms.ChoiceField(
        label=_("Evidence of consent"),
        choices=[("", _("Choose")), *((kind.value, kind.label) for kind in CHOSEN_AT_UPLOAD)],
        help_text=_(
            "The law allows advertising mail only to people who agreed beforehand (or gave their business card, publish "
            "their address, or trade with you), and asks you to keep a record of it; your answer is kept with each reader."
        ),
    )
