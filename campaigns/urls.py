"""The キャンペーン(セミナー) tab: /campaigns/ in the all-campaign mode, /c/<id>/campaigns/… inside one (campaigns/mode.py)."""

from django.urls import path

from campaigns.views import (
    applications,
    campaigns,
    check_in,
    csv_applications,
    form_items,
    proxy,
    ticket_views,
)

urlpatterns = [
    path("", campaigns.campaigns, name="campaigns"),
    path("overview/", campaigns.campaign, name="campaign"),
    path("applications/", applications.applications, name="applications"),
    path("applications/export/", applications.export_applications, name="export_applications"),
    path("applications/<int:pk>/", applications.application, name="application"),
    path("applications/<int:pk>/change/", applications.application_change, name="application_change"),
    path("applications/<int:pk>/cancel/", applications.application_cancel, name="application_cancel"),
    path("applications/<int:pk>/move-up/", applications.application_move_up, name="application_move_up"),
    path("csv/", csv_applications.csv_applications, name="csv_applications"),
    path("form/", form_items.form_items, name="form_items"),
    path("form/start/", form_items.form_items_start, name="form_items_start"),
    path("form/add/", form_items.form_item_add, name="form_item_add"),
    path("form/new/", form_items.form_item_new, name="form_item_new"),
    path("form/preview/", form_items.form_preview, name="form_preview"),
    path("form/consent/", form_items.consent_text, name="consent_text"),
    path("form/<int:pk>/", form_items.form_item_edit, name="form_item_edit"),
    path("form/<int:pk>/move/", form_items.form_item_move, name="form_item_move"),
    path("form/<int:pk>/retire/", form_items.form_item_retire, name="form_item_retire"),
    path("form/<int:pk>/restore/", form_items.form_item_restore, name="form_item_restore"),
    path("proxy/", proxy.proxy_page, name="proxy_page"),
    path("proxy/apply/", proxy.proxy_application, name="proxy_application"),
    path("applications/<int:pk>/ticket/", ticket_views.ticket_preview, name="ticket_preview"),
    path("applications/<int:pk>/ticket/send/", ticket_views.ticket_send, name="ticket_send"),
    path("check-in/", check_in.check_in, name="check_in"),
    path("check-in/worker.js", check_in.check_in_worker, name="check_in_worker"),
    path("check-in/photo/", check_in.check_in_photo, name="check_in_photo"),
    path("check-in/frame/", check_in.check_in_frame, name="check_in_frame"),
    path("check-in/scans/", check_in.check_in_scans, name="check_in_scans"),
    path("check-in/codes/", check_in.check_in_codes, name="check_in_codes"),
    path("check-in/live/", check_in.check_in_live, name="check_in_live"),
    path("check-in/<int:pk>/undo/", check_in.check_in_undo, name="check_in_undo"),
]
