"""The tab 「メールマガジン」. Addresses inside of one magazine carry its id as `magazine_id`, which draws its menu
(smp.lib.navigation.Page.within). One block of urlpatterns a module of mail/views/magazines/."""

from django.urls import URLPattern, path

from mail.views.magazines import items, magazines, story_filter

urlpatterns: list[URLPattern] = [
    path("", magazines.magazines, name="magazines"),
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
