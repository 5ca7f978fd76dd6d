"""SYS-2: the words of 操作履歴 for mail."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from leads.models import DmPermission
from mail.mail_kinds import kind_label
from mail.models import (
    Delivery,
    Magazine,
    MailSettings,
    MailTemplate,
    Reader,
    ReaderState,
    SendingDomain,
    SendJob,
    StepMail,
    Story,
)
from mail.models.counting import CountedUrl
from mail.models.send_job import RecipientRule
from settings.audit import Target, register_action, register_detail, register_target, register_words
from settings.models import DomainRule, SourceIp


def register() -> None:
    register_target(Target("sendjob", _("Wizard mailing"), "job", SendJob))
    register_target(Target("mailtemplate", _("Template"), "template", MailTemplate))
    register_target(Target("magazine", _("Mail magazine"), "", Magazine))
    register_target(Target("story", _("Story"), "", Story))
    register_target(Target("reader", _("Reader"), "", Reader))
    register_action("magazine.create", _("Magazine made"))
    register_action("magazine.change", _("Settings of a magazine changed"))
    register_action("magazine.archive", _("Magazine archived"))
    register_action("magazine.restore", _("Magazine restored"))
    register_action("magazine.blacklist_release", _("Address taken off a magazine's blacklist"))
    register_action("reader.register", _("Reader registered by an administrator"))
    register_action("reader.edit", _("Reader changed"))
    register_action("reader.stop_many", _("Readers stopped together"))
    register_action("reader.remove_many", _("Readers removed together"))
    register_detail("readers", _("Readers"))
    register_detail("reader_state", _("State of the reader"), ReaderState.choices)
    register_detail("failures_reset", _("Failures until then"))
    register_target(Target("delivery", _("Single mail"), "delivery", Delivery))
    register_target(Target("mailsettings", _("Mail settings"), "", MailSettings))
    register_target(Target("sendingdomain", _("Sending domain"), "sending_domain", SendingDomain))
    register_action("sending_domain.add", _("Sending domain added"))
    register_action("sending_domain.pools", _("Pools of a sending domain changed"))
    register_action("sending_domain.delete", _("Sending domain deleted"))
    register_action("sending_domain.override", _("Advertising allowed without SPF or DKIM"))
    register_action("sending_domain.override_end", _("Exception for a sending domain withdrawn"))
    register_action("dkim_key.make", _("DKIM key made"))
    register_action("dkim_key.activate", _("DKIM key signs"))
    register_action("dkim_key.revoke", _("DKIM key revoked"))
    register_action("dkim_key.delete", _("DKIM key deleted"))
    register_detail("selector", _("Selector"))
    register_detail("selectors", _("Selectors"))
    register_detail("algorithm", _("Algorithm"))
    register_detail("unpublished", _("Before its record was published"))
    register_detail("early", _("Before its time"))
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
    register_target(Target("countedurl", _("Counted URL"), "counted_url_edit", CountedUrl))
    register_detail("url", _("Target URL"))
    register_action("counted_url.add", _("Counted URL registered"))
    register_action("counted_url.change", _("Counted URL changed"))
    register_action("counted_url.archive", _("Counted URL archived"))
    register_action("counted_url.restore", _("Counted URL restored"))
    register_action("counted_url.export", _("List of counted URLs exported"))
    register_action("job.brake", _("Mailing braked at a domain"))
    register_action("job.go_on", _("Braked mailing goes on"))
    register_action("returned.export", _("Received bounces exported"))
    register_target(Target("domainrule", _("Speed rule"), "", DomainRule))
    register_target(Target("sourceip", _("Source IP"), "speed_source", SourceIp))
    register_action("speed_rule.add", _("Speed rule added"))
    register_action("speed_rule.change", _("Speed rule changed"))
    register_action("speed_rule.reset", _("Speed rule back to the default"))
    register_action("speed_rule.delete", _("Speed rule deleted"))
    register_action("speed.release", _("Slowed receiver released"))
    register_detail("source_ip", _("Source IP"))
    register_action("source_ip.add", _("Source IP added"))
    register_action("source_ip.change", _("Source IP changed"))
    register_action("source_ip.delete", _("Source IP deleted"))
    register_action("delivery.export", _("Mail history exported"))
    register_target(Target("stepmail", _("Step mail"), "step_mail", StepMail))
    register_action("step_mail.start", _("Step mail put into operation"))
    register_action("step_mail.change", _("Step mail changed"))
    register_action("step_mail.stop", _("Step mail stopped"))
    register_action("step_mail.go_on", _("Step mail in operation again"))
    register_action("step_mail.delete", _("Step mail deleted"))
    register_action("step_mail.export", _("List of step mails exported"))
    register_action("step_mail.trouble", _("Step mail held up by the system"))
    register_action("story.create", _("Story added"))
    register_action("story.change", _("Story changed"))
    register_action("story.copy", _("Story copied"))
    register_action("story.start", _("Story put into operation"))
    register_action("story.pause", _("Story paused"))
    register_action("story.go_on", _("Story in operation again"))
    register_action("story.move", _("Order of the step stories changed"))
    register_action("story.delete", _("Story deleted"))
    register_action("story.send_now", _("Extra issue sent"))
    register_action("story.reserve", _("Extra issue reserved"))
    register_action("story.missed", _("Starts of a story missed"))
    register_action("story.trouble", _("Story held up by the system"))
    register_detail(
        "passed",
        _("Who had passed its place"),
        [("skip", _("Not sent to them")), ("send", _("Sent at the next start"))],
    )
    register_detail(
        "overdue", _("Who was overdue"), [("skip", _("Not sent to them")), ("send", _("Sent at the next start"))]
    )
    register_detail("waited", _("Readers who waited for it"))
    register_detail("missed", _("Missed starts"))
    register_detail("position", pgettext_lazy("story", "Position"))
    register_detail("template", _("Template"))
    register_detail("search", _("Condition of the step mail"))
    register_detail("wait_minutes", _("Minutes from the origin"))
    register_detail("dm_permissions", _("DM permission"), DmPermission.choices)
    register_detail("include_sent", _("Also those who were sent it before"))
    register_detail("url_pattern", _("URL of the page"))
    register_detail("counted_urls", _("Click count URLs"))
    register_detail("unwanted_confirmed", _("Mailing people who do not want mail was confirmed"))
    register_action("template.create", _("Template added"))
    register_action("template.edit", _("Template edited"))
    register_action("template.copy", _("Template copied"))
    register_action("template.archive", _("Template archived"))
    register_action("template.restore", _("Template restored"))
    register_action("template.test_send", _("Test mail sent"))
    register_action("mail_settings.change", _("Mail settings changed"))
    register_action("mail_settings.test_send", _("Test of an automatic mail sent"))
    register_detail("switched", _("Switched"))
    register_detail("not_sent", _("Mails not sent"))
    register_detail("rule", _("How recipients are given"), RecipientRule.choices)
    register_detail("mails", _("Mails"))
    register_detail("domain", _("Receiving domain"))
    register_detail("failed", _("Failed"))
    register_detail("from", _("Copied from template"))
    register_detail("removed", _("Attachments removed"))
    register_detail("kind", _("Kind"))
    register_detail("refusers", _("People who do not want mail"))
    register_words("kind", kind_label)
    register_detail("changed", _("Changed"), [("options", _("When it is sent"))])
    register_detail("attached", _("Attached"))
    register_detail("addresses", _("Addresses"))
    register_detail("merge_data_of_lead", _("Merge data of"))
