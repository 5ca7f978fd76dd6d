from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettingsConfig(AppConfig):
    name = "settings"
    label = "settings"

    def ready(self) -> None:
        from settings import audit_labels, language  # noqa: F401  (language connects the login signal)
        from settings.api_keys import RATE_SETTING
        from settings.system_settings import Setting, find_settings, register_setting
        from smp.lib.finder import Finder, find_pages, register_finder
        from smp.lib.mode import BOTH
        from smp.lib.navigation import Page, Tab, register_page, register_tab

        audit_labels.register()
        register_finder(Finder("pages", _("Screens"), find_pages, position=10, modes=BOTH, everyone=True))
        register_finder(
            Finder("settings", _("System settings"), find_settings, position=15, level="may_administer")
        )
        register_tab(Tab("settings", _("Settings"), 90))
        register_page(
            Page("settings", _("System settings"), "system_settings", level="may_administer", position=10,
                 aliases=("システム一覧", "システム設定", "System list"), url_names=("edit_system_setting",))
        )  # fmt: skip
        register_page(
            Page("settings", _("Users"), "users", level="may_administer", position=20,
                 aliases=("ユーザー", "ユーザー一覧", "ユーザ一覧", "管理者一覧", "権限", "アカウント"), url_names=("add_user", "edit_user"))
        )  # fmt: skip
        register_page(
            Page("settings", _("API keys"), "api_keys", level="may_administer", position=70,
                 aliases=("API", "OpenAPI", "Webサービス", "連携", "トークン"), url_names=("api_key", "api_key_new", "api_key_revoke"))
        )  # fmt: skip
        register_page(
            Page("settings", _("Audit log"), "audit_log", level="may_administer", position=90,
                 aliases=("監査ログ", "操作ログ", "ログ", "変更履歴"))
        )  # fmt: skip
        register_setting(
            Setting(
                RATE_SETTING, _("Requests a minute of one API key"), int, 600,
                help=_("Further ones are answered with 429 and the seconds to wait."),
                minimum=1, maximum=100_000, section=_("API"),
            )
        )  # fmt: skip
        register_setting(
            Setting(
                "page_size", _("Rows on a page of a list"), int, 50,
                help=_("How many rows each list shows before it goes on to the next page."),
                minimum=10, maximum=500, section=_("Screens"),
            )
        )  # fmt: skip
