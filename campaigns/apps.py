from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CampaignsConfig(AppConfig):
    name = "campaigns"

    def ready(self) -> None:
        from campaigns import (
            application_audit,
            audit_labels,
            csv_applications,
            finder,
            home_cards,
            lead_columns,
            lead_deletion,
            lead_merge,
            lead_panel,
            search_copies,
        )
        from campaigns.applicants import only_applicants
        from campaigns.campaign_items import register_items_of_one
        from campaigns.cancelling import register_application_settings
        from campaigns.known_address import register_merge_key
        from campaigns.search_items import register_campaign_items
        from campaigns.tickets import register_ticket_settings
        from leads.scope import register_campaign_leads
        from smp.lib.mode import BOTH, ORANGE
        from smp.lib.navigation import Page, Tab, register_page, register_tab

        register_campaign_leads(only_applicants)
        register_ticket_settings()
        audit_labels.register()
        register_campaign_items()
        search_copies.register()
        finder.register()
        home_cards.register()
        register_items_of_one()

        application_audit.register()
        register_application_settings()
        register_merge_key()
        lead_panel.register()
        csv_applications.register()
        register_page(
            Page(
                "campaigns",
                _("List of applications"),
                "applications",
                url_names=("application", "application_change", "application_cancel", "ticket_preview"),
                modes=ORANGE,
                position=20,
                aliases=("申込者一覧", "Applicants"),
            )
        )

        register_page(
            Page("leads", _("CSV bulk application"), "csv_applications", group=_("Bring in"), level="may_edit", position=20,
                 modes=BOTH, aliases=("一括申込", "CSV application"), url_names=("lead_import",))
        )  # fmt: skip

        lead_merge.register()
        lead_columns.register()
        lead_deletion.register()
        register_tab(Tab("campaigns", _("Campaigns (seminars)"), 10))
        register_page(
            Page("campaigns", _("Campaign list"), "campaigns", position=10, everyone=True,
                 url_names=("campaign_new", "campaign_entry", "campaign_copy"), aliases=("セミナー一覧", "管理開始"))
        )  # fmt: skip
        settings_of_one = _("Campaign settings")
        register_page(
            Page("settings", _("Basic settings"), "campaign_settings", group=settings_of_one, level="may_edit", modes=ORANGE,
                 position=10, aliases=("キャンペーン設定",))
        )  # fmt: skip
        register_page(
            Page("settings", _("Sessions"), "sessions", group=settings_of_one, modes=ORANGE, position=20,
                 url_names=("session_new", "session_edit"))
        )  # fmt: skip
        register_page(
            Page("settings", _("People in charge"), "campaign_members", group=settings_of_one, level="may_administer",
                 modes=ORANGE, position=30)
        )  # fmt: skip
        register_page(Page("campaigns", _("Overview"), "campaign", modes=ORANGE, position=10))
        register_page(
            Page("campaigns", pgettext_lazy("application", "Application form"), "form_items", modes=ORANGE, position=30,
                 url_names=("form_item_new", "form_item_edit", "form_item_retire", "form_preview", "consent_text"))
        )  # fmt: skip
        register_page(
            Page("campaigns", _("Page for attendees (and registering for others)"), "proxy_page", level="may_edit",
                 modes=ORANGE, position=40, url_names=("proxy_application",), aliases=("代理登録", "公開ページ"))
        )  # fmt: skip

        register_page(
            Page("campaigns", _("Check-in at the venue"), "check_in", level="may_edit", modes=ORANGE, position=60,
                 aliases=("来場受付", "受付", "check-in"))
        )  # fmt: skip
