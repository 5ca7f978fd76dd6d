"""The tab 「メールマガジン」. Addresses inside of one magazine carry its id as `magazine_id`, which draws its menu
(smp.lib.navigation.Page.within). One block of urlpatterns a module of mail/views/magazines/."""

from django.urls import URLPattern, path

from mail.views.magazines import (
    blacklist,
    changes,
    display,
    extras,
    history,
    imports,
    items,
    loops,
    magazines,
    outages,
    public_forms,
    reader,
    reader_bulk,
    readers,
    steps,
    story,
    story_filter,
    upcoming,
)  # fmt: skip
from mail.views.magazines import settings as basic_settings

urlpatterns: list[URLPattern] = [
    path("", magazines.magazines, name="magazines"),
    path("new/", magazines.magazine_new, name="magazine_new"),
    path("<int:magazine_id>/", magazines.magazine, name="magazine"),
    path("<int:magazine_id>/archive/", magazines.magazine_archive, name="magazine_archive"),
    path("<int:magazine_id>/restore/", magazines.magazine_restore, name="magazine_restore"),
    path("<int:magazine_id>/settings/", basic_settings.magazine_settings, name="magazine_settings"),
    path("<int:magazine_id>/readers/", readers.readers, name="readers"),
    path("<int:magazine_id>/readers/export/", readers.readers_export, name="readers_export"),
    path("<int:magazine_id>/readers/new/", readers.reader_new, name="reader_new"),
    path("readers/<int:reader_id>/", reader.reader_by_id, name="reader_by_id"),
    path("<int:magazine_id>/readers/<int:reader_id>/", reader.reader, name="reader"),
    path("<int:magazine_id>/readers/<int:reader_id>/edit/", reader.reader_edit, name="reader_edit"),
    path("<int:magazine_id>/readers/<int:reader_id>/remove/", reader.reader_remove, name="reader_remove"),
    path("<int:magazine_id>/readers/bulk/", reader_bulk.readers_bulk, name="readers_bulk"),
    path("<int:magazine_id>/readers/bulk/check/", reader_bulk.readers_bulk_check, name="readers_bulk_check"),
    path("<int:magazine_id>/readers/bulk/do/", reader_bulk.readers_bulk_do, name="readers_bulk_do"),
    path("<int:magazine_id>/blacklist/", blacklist.blacklist, name="blacklist"),
    path("<int:magazine_id>/blacklist/release/", blacklist.blacklist_release, name="blacklist_release"),
    path("<int:magazine_id>/outages/", outages.outages, name="outages"),
]

urlpatterns += [
    path("<int:magazine_id>/items/", items.reader_items, name="reader_items"),
    path("<int:magazine_id>/items/new/", items.reader_item_new, name="reader_item_new"),
    path("<int:magazine_id>/items/<int:item_id>/", items.reader_item_edit, name="reader_item_edit"),
    path("<int:magazine_id>/items/<int:item_id>/move/", items.reader_item_move, name="reader_item_move"),
    path(
        "<int:magazine_id>/items/<int:item_id>/retire/", items.reader_item_retire, name="reader_item_retire"
    ),
    path(
        "<int:magazine_id>/items/<int:item_id>/restore/",
        items.reader_item_restore,
        name="reader_item_restore",
    ),
]

urlpatterns += [
    path("<int:magazine_id>/stories/<int:story_id>/filter/", story_filter.story_filter, name="story_filter"),
    path(
        "<int:magazine_id>/stories/<int:story_id>/filter/card/",
        story_filter.story_filter_card,
        name="story_filter_card",
    ),
]

urlpatterns += [
    path("<int:magazine_id>/steps/", steps.story_steps, name="story_steps"),
    path("<int:magazine_id>/loops/", loops.story_loops, name="story_loops"),
    path("<int:magazine_id>/extras/", extras.story_extras, name="story_extras"),
    path("<int:magazine_id>/stories/new/<str:kind>/", story.story_new, name="story_new"),
    path("<int:magazine_id>/stories/<int:story_id>/", story.story, name="story"),
    path("<int:magazine_id>/stories/<int:story_id>/html/", story.story_html, name="story_html"),
    path("<int:magazine_id>/stories/<int:story_id>/edit/", story.story_edit, name="story_edit"),
    path("<int:magazine_id>/stories/<int:story_id>/copy/", story.story_copy, name="story_copy"),
    path("<int:magazine_id>/stories/<int:story_id>/test/", story.story_test_send, name="story_test_send"),
    path(
        "<int:magazine_id>/stories/<int:story_id>/files/<int:attachment_id>/",
        story.story_attachment,
        name="story_attachment",
    ),
    path("<int:magazine_id>/stories/<int:story_id>/turns/", steps.story_turns, name="story_turns"),
    path("<int:magazine_id>/stories/<int:story_id>/expected/", extras.story_expected, name="story_expected"),
    path("<int:magazine_id>/stories/<int:story_id>/send/", extras.extra_confirm, name="extra_confirm"),
    path("<int:magazine_id>/stories/<int:story_id>/when/", changes.story_timing, name="story_timing"),
    path(
        "<int:magazine_id>/stories/<int:story_id>/change/<str:change>/",
        changes.story_change,
        name="story_change",
    ),
    path("<int:magazine_id>/deliveries/", history.magazine_history, name="magazine_history"),
    path(
        "<int:magazine_id>/deliveries/export/",
        history.magazine_history_export,
        name="magazine_history_export",
    ),
    path("<int:magazine_id>/deliveries/<int:job_id>/", history.magazine_job, name="magazine_job"),
    path(
        "<int:magazine_id>/deliveries/<int:job_id>/stopped/",
        history.magazine_job_stopped,
        name="magazine_job_stopped",
    ),
]

urlpatterns += [
    path("<int:magazine_id>/imports/", imports.reader_imports, name="reader_imports"),
    path("<int:magazine_id>/imports/base/", imports.reader_import_base, name="reader_import_base"),
    path("<int:magazine_id>/imports/<int:import_id>/", imports.reader_import, name="reader_import"),
    path(
        "<int:magazine_id>/imports/<int:import_id>/progress/",
        imports.reader_import_progress,
        name="reader_import_progress",
    ),
    path(
        "<int:magazine_id>/imports/<int:import_id>/commit/",
        imports.reader_import_commit,
        name="reader_import_commit",
    ),
    path(
        "<int:magazine_id>/imports/<int:import_id>/cancel/",
        imports.reader_import_cancel,
        name="reader_import_cancel",
    ),
    path(
        "<int:magazine_id>/imports/<int:import_id>/undo/",
        imports.reader_import_undo,
        name="reader_import_undo",
    ),
    path(
        "<int:magazine_id>/imports/<int:import_id>/rows/",
        imports.reader_import_rows,
        name="reader_import_rows",
    ),
]

urlpatterns += [
    path("<int:magazine_id>/forms/", public_forms.magazine_forms, name="magazine_forms"),
    path("<int:magazine_id>/display/", display.magazine_display, name="magazine_display"),
    path("<int:magazine_id>/display/design/", display.magazine_design, name="magazine_design"),
    path("<int:magazine_id>/display/<slug:page>/", display.magazine_texts, name="magazine_texts"),
    path("<int:magazine_id>/display/<slug:page>/preview/", display.magazine_preview, name="magazine_preview"),
]

urlpatterns += [
    path(
        "<int:magazine_id>/readers/<int:reader_id>/upcoming/",
        upcoming.reader_upcoming,
        name="reader_upcoming",
    ),
]
