from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LeadsConfig(AppConfig):
    name = "leads"

    def ready(self) -> None:
        from leads import audit_labels, finder, home_cards
        from leads.models import LeadImport, LeadMerge, SavedSearch
        from leads.search.items import register_lead_items
        from settings.audit import Target, register_action, register_detail, register_target
        from settings.system_settings import Setting, register_setting
        from smp.lib.bench import register_bench
        from smp.lib.mode import BOTH
        from smp.lib.navigation import Page, Tab, register_page, register_tab

        audit_labels.register()
        home_cards.register()
        finder.register()
        register_setting(
            Setting(
                "failures_until_invalid",
                _("Failed deliveries in a row until an address counts as invalid"),
                int,
                3,
                help=_(
                    "The valid flag of the e-mail address goes off when this many deliveries have failed in a row."
                ),
                minimum=1,
                maximum=20,
                section=_("Leads"),
            )
        )
        register_setting(
            Setting(
                "consent_retention_months",  # LAW-2
                _("Months the evidence of consent is kept after the last mail"),
                int,
                36,
                help=_("At least 1 month, at most 36. Within this time a consent record is never deleted."),
                minimum=1,
                maximum=36,
                section=_("Leads"),
            )
        )
        register_lead_items()
        register_tab(Tab("leads", _("Leads (applicants)"), 20))
        register_page(
            Page(
                "leads",
                _("List"),
                "leads",
                url_names=("lead", "lead_timeline", "new_lead", "edit_lead", "delete_lead"),
                position=10,
                modes=BOTH,
            )
        )
        register_page(
            Page(
                "leads",
                _("Compound search"),
                "compound_search",
                url_names=("search_count",),
                position=20,
                modes=BOTH,
            )
        )
        register_page(
            Page(
                "leads",
                _("Saved searches"),
                "searches",
                url_names=("search_delete",),
                position=30,
                modes=BOTH,
            )
        )
        register_bench("import", "leads.bench_import")
        register_page(
            Page(
                "leads",
                _("CSV bulk update"),
                "imports",
                group=_("Bring in"),
                level="may_edit",
                aliases=("CSVインポート", "CSV取込", "CSV import"),
                url_names=("lead_import",),
                position=10,
                modes=BOTH,
            )
        )
        register_page(
            Page("leads", _("Merge"), "merge", group=_("Bring in"), level="may_edit", position=30, modes=BOTH,
                 aliases=("重複チェック", "名寄せ", "統合"), url_names=("merge_choose", "lead_merge"))
        )  # fmt: skip
        register_action("lead.merge", _("Leads merged"))
        register_action("lead.merge_undo", _("Merge undone"))
        register_target(Target("leadmerge", _("Merge"), "lead_merge", LeadMerge))
        register_page(
            Page(
                "settings",
                _("Lead items"),
                "lead_columns",
                level="may_administer",
                url_names=("new_lead_column", "edit_lead_column", "delete_lead_column"),
                position=60,
            )
        )
        register_action("lead_import.commit", _("CSV imported"))
        register_action("lead_import.cancel", _("CSV import cancelled"))
        register_action("lead_import.export_wrong", _("Wrong rows of a CSV downloaded"))
        register_target(Target("leadimport", _("CSV bulk update"), "lead_import", LeadImport))
        register_action("search.create", _("Search saved"))
        register_action("search.change", _("Saved search changed"))
        register_action("search.delete", _("Saved search deleted"))
        register_target(Target("savedsearch", _("Saved search"), "search_count", SavedSearch))
        register_detail("condition", _("Search condition"))
        register_detail("shared", _("All users may use it"))
