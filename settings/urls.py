"""The 設定 tab."""

from django.conf import settings
from django.urls import path

from settings.views import api_keys, audit_log, system_settings, users

urlpatterns = [
    path("system/", system_settings.system_settings, name="system_settings"),
    path("system/<slug:key>/", system_settings.edit_system_setting, name="edit_system_setting"),
    path("users/", users.users, name="users"),
    path("users/add/", users.add_user, name="add_user"),
    path("users/<int:user_id>/", users.edit_user, name="edit_user"),
    path("api-keys/", api_keys.api_keys, name="api_keys"),
    path("api-keys/new/", api_keys.api_key_new, name="api_key_new"),
    path("api-keys/<int:key_id>/", api_keys.api_key, name="api_key"),
    path("api-keys/<int:key_id>/revoke/", api_keys.api_key_revoke, name="api_key_revoke"),
    path("audit/", audit_log.audit_log, name="audit_log"),
    path("audit/csv/", audit_log.export_audit_log, name="export_audit_log"),
]
if settings.DEVELOPMENT:
    from settings.views import look_page

    urlpatterns.append(path("look/", look_page.look_page, name="look_page"))
