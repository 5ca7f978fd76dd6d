from django.urls import path

from mail.views import delivery_views, jobs, wizard

urlpatterns = [
    path("wizard/", wizard.wizard, name="wizard"),
    path("wizard/leads/", wizard.wizard_from_leads, name="wizard_from_leads"),
    path("wizard/templates/", wizard.wizard_templates, name="wizard_templates"),
    path("wizard/<int:job_id>/", wizard.wizard_condition, name="wizard_condition"),
    path("wizard/<int:job_id>/leads/", wizard.wizard_leads, name="wizard_leads"),
    path("wizard/<int:job_id>/confirm/", wizard.wizard_confirm, name="wizard_confirm"),
    path("wizard/<int:job_id>/expected/", wizard.wizard_expected, name="wizard_expected"),
    path("wizard/<int:job_id>/done/", wizard.wizard_done, name="wizard_done"),
    path("wizard/<int:job_id>/discard/", wizard.wizard_discard, name="wizard_discard"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/export/", jobs.jobs_export, name="jobs_export"),
    path("jobs/<int:job_id>/", jobs.job, name="job"),
    path("jobs/<int:job_id>/progress/", jobs.job_progress, name="job_progress"),
    path("jobs/<int:job_id>/pause/", jobs.job_pause, name="job_pause"),
    path("jobs/<int:job_id>/resume/", jobs.job_resume, name="job_resume"),
    path("jobs/<int:job_id>/stop/", jobs.job_stop, name="job_stop"),
    path("jobs/<int:job_id>/delete/", jobs.job_delete, name="job_delete"),
    path("jobs/<int:job_id>/leads/", jobs.job_leads, name="job_leads"),
    path("jobs/<int:job_id>/matching/", jobs.job_matching, name="job_matching"),
    path("jobs/<int:job_id>/changed/", jobs.job_changed, name="job_changed"),
    path("deliveries/", delivery_views.deliveries, name="deliveries"),
    path("deliveries/<int:delivery_id>/", delivery_views.delivery, name="delivery"),
    path("deliveries/<int:delivery_id>/html/", delivery_views.delivery_html, name="delivery_html"),
    path("deliveries/<int:delivery_id>/source/", delivery_views.delivery_source, name="delivery_source"),
]
