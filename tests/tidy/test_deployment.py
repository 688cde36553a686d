"""What can't be run here is at least what its format asks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    schema = ("--builtin-schema", "vendor.compose-spec")
    return run(sys.executable, "-m", "check_jsonschema", *schema, file)


def test_the_compose_file_holds_to_its_schema():
    checked = check_schema(COMPOSE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_would_see_a_typing_error(tmp_path):
    wrong = tmp_path / "compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("hostname: kafka-1", "hostnam: kafka-1"))
    checked = check_schema(wrong)
    assert checked.returncode != 0
    assert "hostnam" in checked.stdout


def test_every_dependency_and_volume_of_the_compose_file_exists():
    compose = yaml.safe_load(COMPOSE.read_text())
    services = compose["services"]
    needed = {name for service in services.values() for name in service.get("depends_on", {})}
    assert needed <= services.keys()
    mounts = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert {m for m in mounts if not m.startswith("./")} == compose["volumes"].keys()
    assert {m for m in mounts if m.startswith("./") and not (ROOT / m).exists()} == set()


def test_a_volume_below_the_home_of_the_services_is_theirs_to_write():
    """A new named volume takes the owner of what the image has there; else it is root's."""
    services = yaml.safe_load(COMPOSE.read_text())["services"].values()
    ours = [s for s in services if s.get("image", "").startswith("streamops")]
    places = {volume.split(":")[1] for s in ours for volume in s.get("volumes", [])}
    (made,) = [
        line for line in (ROOT / "Dockerfile").read_text().split("\n") if "install -d" in line
    ]
    assert places <= set(made.split())


def test_page_and_gateway_can_be_reached_from_the_machine_alone():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name in ("gateway", "materializer"):
        port = services[name]["command"][services[name]["command"].index("--port") + 1]
        assert services[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_prometheus_asks_every_service():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    running = {name for name, s in services.items() if s.get("command", [""])[0] == "run"}
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    assert set(jobs[0]["dns_sd_configs"][0]["names"]) == running


def test_the_dockerfile_passes_the_linter():
    linted = run(BIN / "hadolint", ROOT / "Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_linter_would_see_a_bad_instruction(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:latest\nRUN cd /tmp && sudo pip install x\n")
    linted = run(BIN / "hadolint", bad)
    assert linted.returncode != 0
    assert "sudo" in linted.stdout


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").rglob("*.json")), ids=lambda f: f.name)
def test_a_dashboard_is_json_with_known_data(file):
    panels = json.loads(file.read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"prometheus"}


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").rglob("*.json")), ids=lambda f: f.name)
def test_a_dashboard_asks_for_metrics_that_there_are(file):
    asked = {
        name
        for panel in json.loads(file.read_text())["panels"]
        for target in panel["targets"]
        for name in re.findall(r"streamops_\w+", target["expr"])
    }
    reference = (ROOT / "docs" / "reference" / "prometheus.md").read_text()
    known = set(re.findall(r"^\| `(streamops_\w+)`", reference, re.MULTILINE))
    assert {name.removesuffix("_bucket") for name in asked} <= known
    assert asked or file.name == "processes.json"


def test_the_base_installation_is_a_producers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert names == {"confluent-kafka", "msgspec"}


def test_the_benchs_faust_leaves_nothing_where_it_is_run(tmp_path, monkeypatch):
    """`make clean` could not know it: Faust names the folder after the namespace."""
    from benchmarks import faust_meter

    monkeypatch.setattr(faust_meter, "faust", SimpleNamespace(App=lambda name, **given: given))
    given = faust_meter.make_app("127.0.0.1:1", "bench", tmp_path)
    assert given["datadir"] == tmp_path
