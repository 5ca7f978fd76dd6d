from django.urls import path

from leads.views import searches

urlpatterns = [
    path("search/", searches.compound_search, name="compound_search"),
    path("search/export/", searches.compound_search_export, name="compound_search_export"),
    path("searches/", searches.searches, name="searches"),
    path("searches/<int:search_id>/count/", searches.search_count, name="search_count"),
    path("searches/<int:search_id>/copy/", searches.search_copy, name="search_copy"),
    path("searches/<int:search_id>/delete/", searches.search_delete, name="search_delete"),
]
