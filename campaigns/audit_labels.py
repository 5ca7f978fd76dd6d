"""SYS-2: the words of 操作履歴 for what happens to campaigns."""

from django.utils.translation import gettext_lazy as _

from campaigns.models import ConsentText, FormItem
from settings.audit import Target, register_action, register_target


def register() -> None:
    # The form
    register_target(Target("formitem", _("Form item"), "", FormItem))
    register_action("form_item.create", _("Form item added"))
    register_action("form_item.edit", _("Form item edited"))
    register_action("form_item.move", _("Form item moved"))
    register_action("form_item.retire", _("Form item taken away"))
    register_action("form_item.restore", _("Form item put back"))
    register_target(Target("consenttext", _("Consent text"), "", ConsentText))
    register_action("consent_text.create", _("Consent text changed"))
