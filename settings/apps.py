from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettingsConfig(AppConfig):
    name = "settings"
    label = "settings"

    def ready(self) -> None:
        from settings import language  # noqa: F401  (connects the login signal)
        from smp.lib.navigation import Tab, register_tab

        register_tab(Tab("settings", _("Settings"), 90))
