"""SYS-2: the words of 操作履歴 for mail."""

from django.utils.translation import gettext_lazy as _

from mail.models import Delivery, MailSettings, MailTemplate, SendJob
from mail.models.send_job import RecipientRule
from settings.audit import Target, register_action, register_detail, register_target


def register() -> None:
    register_target(Target("sendjob", _("Wizard mailing"), "job", SendJob))
    register_target(Target("mailtemplate", _("Template"), "template", MailTemplate))
    register_target(Target("delivery", _("Single mail"), "delivery", Delivery))
    register_target(Target("mailsettings", _("Mail settings"), "", MailSettings))
    register_action("job.reserve", _("Mailing reserved"))
    register_action("job.send", _("Mailing started"))
    register_action("job.pause", _("Mailing paused"))
    register_action("job.resume", _("Mailing resumed"))
    register_action("job.stop", _("Mailing stopped (emergency)"))
    register_action("job.delete", _("Reservation deleted"))
    register_action("job.halt", _("Mailing halted by the system"))
    register_action("job.export", _("Wizard history exported"))
    register_action("job.resend_unknown", _("Mails with unknown outcome sent again"))
    register_action("delivery.resend", _("Single mail sent again"))
    register_action("job.retry_failed", _("Failed mails sent again"))
    register_detail("original", _("Original mail"))
    register_action("job.brake", _("Mailing braked at a domain"))
    register_action("job.go_on", _("Braked mailing goes on"))
    register_action("returned.export", _("Received bounces exported"))
    register_action("delivery.export", _("Mail history exported"))
    register_action("template.create", _("Template added"))
    register_action("template.edit", _("Template edited"))
    register_action("template.copy", _("Template copied"))
    register_action("template.archive", _("Template archived"))
    register_action("template.restore", _("Template restored"))
    register_action("template.test_send", _("Test mail sent"))
    register_action("mail_settings.change", _("Mail settings changed"))
    register_detail("not_sent", _("Mails not sent"))
    register_detail("rule", _("How recipients are given"), RecipientRule.choices)
    register_detail("mails", _("Mails"))
    register_detail("domain", _("Receiving domain"))
    register_detail("failed", _("Failed"))
    register_detail("from", _("Copied from template"))
    register_detail("removed", _("Attachments removed"))
    register_detail("kind", _("Kind"))
    register_detail("refusers", _("People who do not want mail"))
    register_detail("changed", _("Changed"))
    register_detail("attached", _("Attached"))
    register_detail("addresses", _("Addresses"))
    register_detail("merge_data_of_lead", _("Merge data of"))
