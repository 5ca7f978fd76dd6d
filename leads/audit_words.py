"""How 操作履歴 calls what happens to leads and リード項目."""

from django.utils.translation import gettext_lazy as _

from leads.models import Lead, LeadColumn
from settings.audit import Target, register_action, register_detail, register_target


def register_audit_words() -> None:
    """Called by LeadsConfig.ready()."""
    register_action("lead.create", _("Lead registered"))
    register_action("lead.edit", _("Lead edited"))
    register_action("lead.delete", _("Lead deleted"))
    register_action("lead.unsubscribe", _("Unsubscribed"))
    register_action("lead.dm_permission", _("DM permission changed"))
    register_action("lead.flag", _("Valid flag off after failures"))
    register_action("lead.export", _("Leads exported"))
    register_action("lead_column.create", _("Lead item added"))
    register_action("lead_column.edit", _("Lead item edited"))
    register_action("lead_column.delete", _("Lead item deleted"))
    register_target(Target("lead", _("Lead"), "lead", Lead))
    register_target(Target("leadcolumn", _("Lead item"), "edit_lead_column", LeadColumn))
    register_detail("way", _("Way"))
    register_detail("evidence", _("Evidence"))
    register_detail("leads", _("Number of leads"))
    register_detail("failures", _("Failed deliveries in a row"))
    register_detail("at", _("At"))
