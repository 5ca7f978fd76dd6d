from django.apps import AppConfig


class TrackingConfig(AppConfig):
    name = "tracking"

    def ready(self) -> None:
        from tracking import audit_labels, registered, search_items

        audit_labels.register()
        registered.register()
        search_items.register()

        from tracking import report_pages
        from tracking.views import timeline

        report_pages.register()
        timeline.register()

        from smp.lib.bench import register_bench
        from tracking import lead_merge

        lead_merge.register()
        register_bench("track", "tracking.bench.track")
