from django.urls import URLPattern, path

from tracking.views import hit_rules, timeline

urlpatterns: list[URLPattern] = [
    path("hit-rules/", hit_rules.hit_rules, name="hit_rules"),
    path("leads/<int:lead_id>/timeline/", timeline.lead_timeline, name="lead_timeline"),
]
