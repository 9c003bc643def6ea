"""Tasks of the kinds code, sql and python, as a user meets them, in a fresh environment."""

import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.prepared_home import prepare

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "sample_strategies" / "sample_strategies.py"
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: computing}
spec:
  triggers: [{name: yearly, cron: {schedule: "0 0 1 1 *"}}]
  context:
    - name: known
      sql: {connection: {secretRef: shop-db}, statement: "SELECT 'Ada' AS who"}
  tasks:
    - name: totals
      code:
        python: "print('adding')\\nsum(numbers)"
        inputs: {numbers: [1, 2, 3]}
    - name: text
      needs: [totals]
      code: {javascript: "`${total}!`", inputs: {total: "${ tasks.totals.output.value }"}}
    - name: keep
      needs: [text]
      sql:
        connection: {secretRef: shop-db}
        statements:
          - statement: CREATE TABLE IF NOT EXISTS kept (who text, total text)
          - {statement: "INSERT INTO kept VALUES (:who, :total)", parameters: {
              who: "${ context.known[0].who }", total: "${ tasks.text.output.value }"}}
          - statement: SELECT * FROM kept
    - name: greet
      needs: [keep]
      python: {strategy: greet, request: {who: "${ tasks.keep.output.rows[0].who }"}}
    - name: optional
      needs: [greet]
      python: {strategy: "sample_strategies:Fails", request: skip}
  state: {count: "${ tasks.greet.output.response.count }"}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: computing}
spec: {activity: computing}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that sees what ours has, and nothing of the sample."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    places = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(places, "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    for program in Path(sys.executable).parent.iterdir():
        if not (folder / "bin" / program.name).exists():
            (folder / "bin" / program.name).symlink_to(program)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def fresh(shell_at: Any, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    subprocess.run(
        [str(python), "-m", "activityctl", "up", "-d"],
        env=shell.environment,
        check=True,
        timeout=120,
    )
    yield shell
    shell("down")


def wheel_of_sample(folder: Path) -> Path:
    """Return a wheel of the sample package, made without a build program."""
    facts = "sample_strategies-1.0.dist-info"
    files = {
        "sample_strategies.py": SAMPLE.read_text(),
        f"{facts}/METADATA": "Metadata-Version: 2.1\nName: sample-strategies\nVersion: 1.0\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{facts}/entry_points.txt": "[activityctl.strategies]\ngreet = sample_strategies:Greet\n",
    }
    files[f"{facts}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{facts}/RECORD"))
    wheel = folder / "sample_strategies-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def install_sample(python: Path, folder: Path) -> None:
    quiet = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    wheel = str(wheel_of_sample(folder))
    subprocess.run([str(python), "-m", "pip", "install", *quiet, wheel], check=True, timeout=120)


def task(shell: Any, name: str) -> dict[str, Any]:
    found = shell.json("get", "tasks")["items"]
    return next((item for item in found if item["name"] == name), {"status": None})


def test_a_task_waits_for_its_strategy_and_runs_when_it_is_installed(fresh: Any, python: Path):
    database = fresh.folder / "shop.sqlite"
    fresh("secrets", "set", "shop-db", stdin=f"sqlite:///{database}")
    (fresh.folder / "computing.yaml").write_text(MANIFEST)
    fresh("apply", "-f", "computing.yaml")
    fresh("trigger", "computing", "--no-wait")
    deadline = time.monotonic() + 60
    while not task(fresh, "greet").get("reason") and time.monotonic() < deadline:
        time.sleep(0.5)
    waiting = task(fresh, "greet")
    assert (waiting["status"], waiting["attempts"]) == ("pending", 0)
    reason = "waits for a worker that has the strategy greet (no installed package"
    assert waiting["reason"].startswith(reason)
    assert reason in fresh("describe", "task", waiting["id"]).stdout
    assert "strategy greet" in fresh("get", "tasks").stdout
    checks = fresh("doctor", code=None).stdout
    assert "1 task waits for a worker with greet" in checks
    assert "Python and JavaScript" in checks
    assert "openai and anthropic" in checks
    assert task(fresh, "text")["output"]["value"] == "6!"
    assert task(fresh, "keep")["output"]["rows"] == [{"who": "Ada", "total": "6!"}]

    install_sample(python, fresh.folder)
    run = fresh.json("get", "runs")["items"][0]
    fresh("wait", run["id"], "--timeout", "60s")
    greeted = task(fresh, "greet")
    assert (greeted["status"], greeted["attempts"], greeted["reason"]) == ("succeeded", 1, None)
    assert greeted["output"]["response"]["text"] == "hello Ada"
    skipped = task(fresh, "optional")
    assert (skipped["status"], skipped["reason"]) == ("skipped", "nothing to do today")
    log = fresh("logs", "computing").stdout
    assert "a task waits for a worker that has the strategy greet" in log
    assert "greeting" in log
