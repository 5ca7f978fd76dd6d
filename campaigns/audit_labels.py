"""SYS-2: the words of 操作履歴 for what happens to campaigns."""

from django.utils.translation import gettext_lazy as _

from campaigns.known_address import source_in_words
from campaigns.models import Campaign, ConsentText, FormItem, Session
from settings.audit import Target, register_action, register_detail, register_target, register_words


def register() -> None:
    # Campaigns and their sessions
    register_target(Target("campaign", _("Campaign"), "campaign_entry", Campaign))
    register_action("campaign.create", _("Campaign added"))
    register_action("campaign.edit", _("Campaign edited"))
    register_action("campaign.copy", _("Campaign copied"))
    register_action("campaign.state", _("State of a campaign changed"))
    register_action("campaign.members", _("Campaign administrators assigned"))
    register_target(Target("session", _("Session"), "", Session))
    register_action("session.create", _("Session added"))
    register_action("session.edit", _("Session edited"))
    register_action("session.move", _("Session moved"))
    register_action("session.delete", _("Session deleted"))
    register_detail("campaign", _("Campaign"))
    register_detail("copied_from", _("Copied from"))
    register_detail("members", _("Campaign administrators"))
    # The form
    register_target(Target("formitem", _("Form item"), "", FormItem))
    register_action("form_item.create", _("Form item added"))
    register_action("form_item.edit", _("Form item edited"))
    register_action("form_item.move", _("Form item moved"))
    register_action("form_item.retire", _("Form item taken away"))
    register_action("form_item.restore", _("Form item put back"))
    register_target(Target("consenttext", _("Consent text"), "", ConsentText))
    register_action("consent_text.create", _("Consent text changed"))
    register_words("source", source_in_words)
    # Tickets and the door
    register_action("ticket.send", _("Ticket URL sent"))
    register_action("check_in.undo", _("Check-in taken back"))
    # My page
    register_action("my_page.password", _("Password of my page set"))
