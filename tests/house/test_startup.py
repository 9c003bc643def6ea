"""Commands start fast, because heavy libraries are imported only when they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "aiosmtplib",
    "anthropic",
    "openai",
    "httpx2",
    "temporalio",
    "sqlmodel",
    "sqlalchemy",
    "fastapi",
    "coincurve",
    "eth_abi",
    "eth_account",
    "eth_hash",
    "eth_keys",
    "eth_utils",
    "alembic",
    "httpx",
    "keyring",
    "cryptography",
    "icalendar",
    "opentelemetry.sdk",
    "jsonschema",
    "prometheus_client",
    "py_mini_racer",
    "pydantic_monty",
    "recurring_ical_events",
    "uvicorn",
    "watchfiles",
)


def loaded_by(*arguments: str) -> set[str]:
    program = (
        "import sys\n"
        "sys.argv[1:] = " + repr(list(arguments)) + "\n"
        "from activityctl.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("version",)], ids=" ".join)
def test_no_heavy_library_is_loaded(arguments: tuple[str, ...]):
    assert not loaded_by(*arguments) & {*HEAVY, "psycopg"}


def test_a_command_that_reads_loads_neither_temporal_nor_sqlmodel(tmp_path):
    modules = loaded_by("--home", str(tmp_path), "get", "runs")
    assert not modules & set(HEAVY)


def test_a_model_is_validated_without_its_clients():
    sample = str(Path(__file__).parents[2] / "definitions" / "review-triage.yaml")
    assert not loaded_by("validate", "-f", sample) & {"anthropic", "httpx2", "openai"}


def test_a_worker_does_not_load_the_library_of_migrations():
    program = "import activityctl.daemon.worker.worker, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not {*done.stdout.split()} & {"alembic", "sqlalchemy", "sqlmodel"}
