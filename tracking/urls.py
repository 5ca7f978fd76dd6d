from django.urls import URLPattern, path

from tracking.views import hit_rules

urlpatterns: list[URLPattern] = [
    path("hit-rules/", hit_rules.hit_rules, name="hit_rules"),
]
