"""The upload form of 「インポート」 inside a magazine."""

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from leads.import_forms import CHOSEN_AT_UPLOAD
from mail.magazines.imports.steps import MEGABYTE, MOST_MEGABYTES


class ReaderImportForm(forms.Form):
    """OPT-10: on what the consent of these people is based is asked each time, and has no answer until one is given."""

    file = forms.FileField(
        label=_("CSV file"),
        max_length=255,
        widget=forms.FileInput(attrs={"accept": ".csv,.txt,.tsv,text/csv,text/plain"}),
        error_messages={
            "empty": _("The file is empty. Choose a file with a header row and at least one row below it.")
        },
    )
    evidence = forms.ChoiceField(
        label=_("Evidence of consent"),
        choices=[("", _("Choose")), *((kind.value, kind.label) for kind in CHOSEN_AT_UPLOAD)],
        help_text=_(
            "The law allows advertising mail only to people who agreed beforehand (or gave their business card, publish "
            "their address, or trade with you), and asks you to keep a record of it; your answer is kept with each reader."
        ),
    )

    def clean_file(self) -> "UploadedFile[bytes]":
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > MOST_MEGABYTES * MEGABYTE:
            raise forms.ValidationError(
                _("The file is larger than %(limit)s MB. Split it into several files."),
                params={"limit": MOST_MEGABYTES},
            )
        return file
