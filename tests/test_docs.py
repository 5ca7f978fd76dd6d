"""The documents say what is there: environment, commands, make targets, pages, files."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands
from django.urls import Resolver404, resolve

PROJECT = Path(__file__).resolve().parent.parent
DOCS = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").glob("*.md"))]
SCRIPTS = [
    PROJECT / "docker-compose.yml",
    PROJECT / "Dockerfile",
    PROJECT / "Makefile",
    PROJECT / ".ci" / "run",
]
ENVIRONMENT = re.compile(r"^#? ?([A-Z][A-Z0-9_]+)=", re.MULTILINE)
# Read outside smp/settings.py: the folder of the embedded servers (smp/embedded.py).
OUTSIDE_SETTINGS = {"SMP_DATA"}


def variables_read() -> set[str]:
    """The names smp/settings.py hands to the env helpers."""
    tree = ast.parse((PROJECT / "smp" / "settings.py").read_text(encoding="utf-8"))
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.startswith("env_")
        and isinstance(node.args[0], ast.Constant)
    }


def text_of(paths: list[Path]) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_env_example_names_every_variable_and_no_other():
    documented = ENVIRONMENT.findall((PROJECT / ".env.example").read_text(encoding="utf-8"))
    assert sorted(documented) == sorted(variables_read() | OUTSIDE_SETTINGS)


def test_docker_compose_hands_on_every_variable_of_production():
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    production = set(ENVIRONMENT.findall(example.split("# ---- Development only")[0]))
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
    handed_on = {name.removesuffix("_FILE") for name in compose["x-smp"]["environment"]}
    assert production - handed_on == set()


def test_every_command_named_in_the_documents_exists():
    named = set(re.findall(r"manage\.py ([a-z_]+)", text_of(DOCS + SCRIPTS)))
    assert named - set(get_commands()) == set()
    assert {"demo", "worker", "beat", "intake", "doctor"} <= named


def test_every_make_target_named_in_the_documents_exists():
    targets = set(
        re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", text_of(DOCS), re.MULTILINE))
    assert named - targets == set()
    assert {"demo", "test"} <= named


def test_every_page_named_in_the_documents_exists():
    def is_page(path: str) -> bool:
        try:
            resolve(path)
        except Resolver404:
            return False
        return True

    paths = set(re.findall(r"`(/[a-z0-9_/-]+/)`", text_of(DOCS)))
    assert {path for path in paths if not is_page(path) and path != "/inbox/"} == set()


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_compose_file_has_the_production_shape():
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert sorted(services) == ["beat", "db", "intake", "migrate", "redis", "web", "worker"]
    assert "container_name" not in services["worker"]  # docker compose up --scale worker=4
    assert all("healthcheck" in services[name] for name in ("db", "redis", "web"))


def test_no_document_names_a_machine():
    assert re.findall(r"/(?:work|root|home/\w+|tmp/v)/\S*", text_of(DOCS + SCRIPTS)) == []
