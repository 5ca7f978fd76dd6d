"""CSV files of leads on their way in (CSV-1, CSV-2): upload, dry run, commit. steps.py tells the story."""

from leads.imports.steps import commit_import, stage_import

__all__ = ["commit_import", "stage_import"]
