"""「送信ドメイン」: parsing HTTP. What is allowed is decided in mail/sending_domains.py and mail/alignment.py."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from mail.alignment import REASON_MAX
from mail.models import SendingDomain
from mail.sending_domains import DEFAULT_POOL
from settings.models import SourceIp


class AddDomainForm(forms.Form):
    name = forms.CharField(
        label=_("Domain"),
        max_length=253,
        help_text=_("What follows the @ in the sender's address, like example.co.jp. Sub-domains count too."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class PoolsForm(forms.Form):
    advertising_pool = forms.ChoiceField(label=_("Advertising"))
    notice_pool = forms.ChoiceField(label=_("Business notices"))

    def __init__(self, *args: Any, domain: SendingDomain, **kwargs: Any) -> None:
        initial = {"advertising_pool": domain.advertising_pool, "notice_pool": domain.notice_pool}
        super().__init__(*args, initial=initial, **kwargs)
        pools = set(SourceIp.objects.order_by().values_list("pool", flat=True).distinct())
        pools |= {DEFAULT_POOL, domain.advertising_pool, domain.notice_pool}
        for field in self.fields.values():
            field.choices = [(pool, pool) for pool in sorted(pools)]


class OverrideForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_(
            "It is shown with your name on this page and before each mailing, and kept in the audit log."
        ),
    )
