"""Pages of administrators; what readers of mails and customers' pages ask for: tracking/public_urls.py."""

from django.urls import URLPattern, path

from tracking.views import hit_rules, page_views, sites, timeline

urlpatterns: list[URLPattern] = [
    path("hit-rules/", hit_rules.hit_rules, name="hit_rules"),
    path("leads/<int:lead_id>/timeline/", timeline.lead_timeline, name="lead_timeline"),
    path("views/", page_views.page_views, name="page_views"),
    path("views/csv/", page_views.export_page_views, name="export_page_views"),
    path("views/of-pattern/", page_views.views_of_pattern, name="views_of_pattern"),
    path("sites/", sites.tracked_sites, name="tracked_sites"),
    path("sites/new/", sites.tracked_site_new, name="tracked_site_new"),
    path("sites/<int:pk>/", sites.tracked_site, name="tracked_site"),
    path("sites/<int:pk>/stop/", sites.tracked_site_stop, name="tracked_site_stop"),
]
