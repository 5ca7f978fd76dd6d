from django.urls import path

from leads.views import columns, imports, leads, merge, searches

urlpatterns = [
    path("imports/", imports.imports, name="imports"),
    path("imports/base-file/", imports.import_base_file, name="import_base_file"),
    path("imports/<int:import_id>/", imports.lead_import, name="lead_import"),
    path("imports/<int:import_id>/progress/", imports.import_progress, name="import_progress"),
    path("imports/<int:import_id>/commit/", imports.import_commit, name="import_commit"),
    path("imports/<int:import_id>/cancel/", imports.import_cancel, name="import_cancel"),
    path("imports/<int:import_id>/wrong-rows/", imports.import_wrong_rows, name="import_wrong_rows"),
    path("", leads.leads, name="leads"),
    path("export/", leads.export_leads, name="export_leads"),
    path("new/", leads.new_lead, name="new_lead"),
    path("<int:lead_id>/", leads.lead, name="lead"),
    path("<int:lead_id>/edit/", leads.edit_lead, name="edit_lead"),
    path("<int:lead_id>/delete/", leads.delete_lead, name="delete_lead"),
    path("merge/", merge.merge, name="merge"),
    path("merge/choose/", merge.merge_choose, name="merge_choose"),
    path("merge/do/", merge.merge_do, name="merge_do"),
    path("merges/<int:merge_id>/", merge.lead_merge, name="lead_merge"),
    path("merges/<int:merge_id>/undo/", merge.lead_merge_undo, name="lead_merge_undo"),
    path("columns/", columns.lead_columns, name="lead_columns"),
    path("columns/new/", columns.new_lead_column, name="new_lead_column"),
    path("columns/<int:column_id>/", columns.edit_lead_column, name="edit_lead_column"),
    path("columns/<int:column_id>/delete/", columns.delete_lead_column, name="delete_lead_column"),
    path("search/", searches.compound_search, name="compound_search"),
    path("search/export/", searches.compound_search_export, name="compound_search_export"),
    path("searches/", searches.searches, name="searches"),
    path("searches/<int:search_id>/count/", searches.search_count, name="search_count"),
    path("searches/<int:search_id>/copy/", searches.search_copy, name="search_copy"),
    path("searches/<int:search_id>/delete/", searches.search_delete, name="search_delete"),
]
