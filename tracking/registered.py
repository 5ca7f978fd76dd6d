"""What page views bring along: pages, settings, words of the audit log (AppConfig.ready())."""

from django.utils.translation import gettext_lazy as _

from settings.audit import Target, register_action, register_detail, register_target
from settings.system_settings import Setting, register_setting
from smp.lib.navigation import Page, register_page
from tracking import known_visitors
from tracking.models import TrackedSite
from tracking.retention import register_retention_settings
from tracking.sites import TRACK_OWN_PAGES


def register() -> None:
    known_visitors.connect()
    register_setting(
        Setting(
            TRACK_OWN_PAGES, _("Count views of our own pages for applications and my page"), bool, False, section=_("Tracking"),
            help=_("Our pages then ask their visitors for consent. Without a yes no cookie is set and nothing is counted."),
        )
    )  # fmt: skip
    register_retention_settings()
    register_page(
        Page("settings", _("Tracking settings"), "tracked_sites", level="may_administer", position=50,
             aliases=("トラッキング", "計測タグ", "cam3.js", "cookie", "同意", "Tracking tag"),
             url_names=("tracked_site_new", "tracked_site", "tracked_site_stop"))
    )  # fmt: skip
    register_page(
        Page("leads", _("Access history"), "page_views", position=40,
             aliases=("トラッキング", "ページ閲覧", "閲覧履歴", "Page views"))
    )  # fmt: skip
    register_action("tracked_site.create", _("Tracked site added"))
    register_action("tracked_site.edit", _("Tracked site changed"))
    register_action("page_views.export", _("Access history exported"))
    register_target(Target("trackedsite", _("Tracked site"), "tracked_site", TrackedSite))
    register_detail("domain", _("Domain"))
    register_detail("subdomains", _("Subdomains too"))
    register_detail("consent_required", _("Ask the site for consent first"))
    register_detail("active", _("In use"))
