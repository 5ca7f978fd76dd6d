import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Staged rows for COPY: made anew, because a table's primary key cannot be turned into a composite one."""

    dependencies = [("leads", "0002_initial")]

    operations = [
        migrations.DeleteModel(name="LeadImportRow"),
        migrations.CreateModel(
            name="LeadImportRow",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "lead_import_id",
                        "line",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("line", models.PositiveIntegerField()),
                (
                    "cells",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
                ("email_norm", models.CharField(blank=True, db_collation="C", default="", max_length=320)),
                ("lead_id", models.BigIntegerField(null=True)),
                (
                    "action",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("new", "New"),
                            ("update", "Updated"),
                            ("unchanged", "Unchanged"),
                            ("wrong", "Wrong"),
                        ],
                        default="",
                        max_length=10,
                    ),
                ),
                ("problems", models.JSONField(null=True)),
                ("conflicts", models.JSONField(null=True)),
                ("notes", models.JSONField(null=True)),
                (
                    "lead_import",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="staged_rows",
                        to="leads.leadimport",
                    ),
                ),
            ],
        ),
        migrations.AddField("leadimport", "changed_since", models.BooleanField(default=False)),
        migrations.AddField("leadimport", "committed_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "leadimport", "encoding", models.CharField(blank=True, default="", max_length=10)
        ),
        migrations.AddField("leadimport", "skip_wrong", models.BooleanField(default=False)),
        migrations.RemoveField("leadimport", "error"),
        migrations.AddField("leadimport", "error", models.JSONField(null=True)),
        migrations.AlterField(
            "leadimport",
            "mode",
            models.CharField(
                choices=[("add", "Add as new leads"), ("update", "Overwrite existing leads")], max_length=10
            ),
        ),
        migrations.AlterField(
            "leadimportchunk",
            "lead_import",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="chunks",
                to="leads.leadimport",
            ),
        ),
    ]
