"""SYS-2: the words of 操作履歴 for what happens to leads."""

from django.utils.translation import gettext_lazy as _

from leads.flags import Way
from leads.models import ConsentRecord, Lead, LeadColumn, LeadImport
from settings.audit import Target, Text, register_action, register_detail, register_target


def _lead_fields() -> list[tuple[str, Text]]:
    return [(field.name, field.verbose_name) for field in Lead._meta.fields]


def register() -> None:
    register_target(Target("lead", _("Lead"), "lead", Lead))
    register_target(Target("leadcolumn", _("Lead column"), "edit_lead_column", LeadColumn))
    register_action("lead.create", _("Lead added"))
    register_action("lead.edit", _("Lead edited"))
    register_action("lead.delete", _("Lead deleted"))
    register_action("lead.export", _("Leads exported"))
    register_action("lead.flag", _("Valid flag switched off"))
    register_action("lead.dm_permission", _("DM permission changed"))
    register_action("lead.unsubscribe", _("Unsubscribed by the recipient"))
    register_action("lead.resubscribe", _("Asked for mail again"))
    register_action("lead_column.create", _("Lead column added"))
    register_action("lead_column.edit", _("Lead column edited"))
    register_action("lead_column.delete", _("Lead column deleted"))
    register_detail("way", _("Way"), Way.choices)
    register_detail("email", _("E-mail address"))
    register_detail("evidence", _("Evidence"), ConsentRecord.Evidence.choices)
    register_detail("failures", _("Failed deliveries in a row"))
    register_detail(
        "reason",
        _("Reason"),
        [
            ("at_once", _("A code that switches the flag off at once")),
            ("failures_in_a_row", _("Failures in a row")),
        ],
    )
    register_detail(
        "email_valid", _("Valid flag of the e-mail address"), [("True", _("Valid")), ("False", _("Invalid"))]
    )
    register_detail("leads", _("Leads"))
    register_detail("type", _("Type"), LeadColumn.Type.choices)
    register_detail("mode", _("Mode"), LeadImport.Mode.choices)
    register_detail("key", _("Key"), LeadImport.Key.choices)
    register_detail("written", _("Rows written"))
    register_detail("left_out", _("Wrong rows left out"))
    register_detail("columns", _("Columns"), _lead_fields())
    register_detail("counts", _("Counts"))
    register_detail("file_name", _("File"))
    register_detail("loosen", _("The survivor's own consent and valid flag were kept"))
    register_detail("left", _("Changed since, so left as they are"), _lead_fields())
