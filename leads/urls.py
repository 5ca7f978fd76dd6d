from django.urls import path

from leads.views import imports, searches

urlpatterns = [
    path("imports/", imports.imports, name="imports"),
    path("imports/base-file/", imports.import_base_file, name="import_base_file"),
    path("imports/<int:import_id>/", imports.lead_import, name="lead_import"),
    path("imports/<int:import_id>/progress/", imports.import_progress, name="import_progress"),
    path("imports/<int:import_id>/commit/", imports.import_commit, name="import_commit"),
    path("imports/<int:import_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("imports/<int:import_id>/wrong-rows/", imports.import_wrong_rows, name="import_wrong_rows"),
    path("search/", searches.compound_search, name="compound_search"),
    path("search/export/", searches.compound_search_export, name="compound_search_export"),
    path("searches/", searches.searches, name="searches"),
    path("searches/<int:search_id>/count/", searches.search_count, name="search_count"),
    path("searches/<int:search_id>/copy/", searches.search_copy, name="search_copy"),
    path("searches/<int:search_id>/delete/", searches.search_delete, name="search_delete"),
]
