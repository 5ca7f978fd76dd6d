"""Pages of tracking/ that stand under /mail/: they are about a mailing, a step mail or a delivery."""

from django.urls import path

from tracking.views import comparison, hits, report_mails, reports

urlpatterns = [
    path("jobs/compare/", comparison.job_comparison, name="job_comparison"),
    path("jobs/compare/export/", comparison.job_comparison_export, name="job_comparison_export"),
    path("jobs/rates/", reports.jobs_rates, name="jobs_rates"),
    path("jobs/<int:job_id>/rates/", reports.job_rates, name="job_rates"),
    path("jobs/<int:job_id>/report/", reports.job_report, name="job_report"),
    path("jobs/<int:job_id>/report/export/", reports.job_report_export, name="job_report_export"),
    path("jobs/<int:job_id>/report/mails/", report_mails.job_report_mails, name="job_report_mails"),
    path("jobs/<int:job_id>/report/mails/export/", report_mails.job_report_mails_export, name="job_report_mails_export"),
    path("steps/<int:step_id>/rates/", reports.step_rates, name="step_rates"),
    path("steps/<int:step_id>/report/", reports.step_report, name="step_report"),
    path("steps/<int:step_id>/report/export/", reports.step_report_export, name="step_report_export"),
    path("steps/<int:step_id>/report/mails/", report_mails.step_report_mails, name="step_report_mails"),
    path(
        "steps/<int:step_id>/report/mails/export/",
        report_mails.step_report_mails_export,
        name="step_report_mails_export",
    ),
    path("deliveries/<int:delivery_id>/hits/", hits.delivery_hits, name="delivery_hits"),
]  # fmt: skip
