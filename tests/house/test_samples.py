"""The samples in definitions/ are valid and can be applied together."""

from pathlib import Path

from activityctl import wiring
from activityctl.domain.gitops.plan import Action, Present
from activityctl.domain.gitops.planning import plan_changes
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.looking.secret_users import users_in_files

DEFINITIONS = Path(__file__).parents[2] / "definitions"


def test_all_samples_can_be_planned_together():
    manifests = load_manifests(
        wiring.manifest_source(), [str(DEFINITIONS)], wiring.known_kinds(), recursive=True
    )
    plan = plan_changes(manifests.wanted, Present())
    assert {change.action for change in plan.changes} == {Action.CREATED}
    assert set(manifests.subscriptions) == {
        "disk-report",
        "overdue-invoices",
        "own-health",
        "archive-docs",
        "book-trip",
        "daily-digest",
        "greeting-strategy",
        "invoice-totals",
        "order-fulfilment",
        "crm-contacts",
        "price-watch",
        "crm-sync",
        "order-review",
        "risky-order",
        "review-triage",
        "search-index",
        "stock-report",
        "weekly-report",
        "patient",
        "order-desk",
        "checkout",
        "tell-the-team",
        "rebalancer-base",
        "large-transfers",
        "code-push",
        "contact-question",
        "failed-payment",
    }
    assert set(manifests.calendars) == {"public-holidays"}
    assert set(manifests.sources) == {"code-host", "contact-form", "payments"}
    secrets = {"code-host-hook", "contact-form-token", "payments-hook"}
    assert secrets <= set(users_in_files(manifests))


def test_every_file_of_the_folder_is_a_sample():
    assert {path.suffix for path in DEFINITIONS.rglob("*") if path.is_file()} == {".yaml", ".ics"}
