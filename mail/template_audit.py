"""操作履歴: the words for what is done with templates and 「メール設定」."""

from django.utils.translation import gettext_lazy as _

from mail.models import MailSettings, MailTemplate
from settings.audit import Target, register_action, register_detail, register_target


def register_template_audit() -> None:
    """From AppConfig.ready()."""
    register_action("template.create", _("Template added"))
    register_action("template.edit", _("Template edited"))
    register_action("template.copy", _("Template copied"))
    register_action("template.archive", _("Template archived"))
    register_action("template.restore", _("Template restored"))
    register_action("template.test_send", _("Test mail sent"))
    register_action("mail_settings.change", _("Mail settings changed"))
    register_target(Target("mailtemplate", _("Template"), "template", MailTemplate))
    register_target(Target("mailsettings", _("Mail settings"), "", MailSettings))
    register_detail("changed", _("Changed"))
    register_detail("attached", _("Attached"))
    register_detail("addresses", _("Addresses"))
    register_detail("merge_data_of_lead", _("Merge data of"))
