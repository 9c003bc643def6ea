from activityctl import errors
from activityctl.api.problems import headers_of, problem_of, status_of
from activityctl.errors import Problem


def test_each_error_has_a_status_and_outages_say_when_to_try_again():
    statuses = {
        errors.UnreachableError("x"): 503,
        errors.SchemaMismatchError("x"): 503,
        errors.DatabaseDeniedError("x"): 503,
        errors.DatabaseNotFoundError("database", "x"): 503,
        errors.NotFoundError("run", "x"): 404,
        errors.AmbiguousError("x", "runs"): 409,
        errors.ConflictError("x"): 409,
        errors.RefusedError("x"): 409,
        errors.NotAllowedError("x"): 403,
        errors.DestinationForbiddenError("x"): 400,
        errors.UnstorableError("x"): 400,
        errors.UsageError("x"): 400,
        errors.WaitTimeoutError("x"): 504,
        errors.TooSlowError("x"): 504,
        errors.InternalError("a secret"): 500,
    }
    assert {error.code: status_of(error) for error in statuses} == {
        error.code: status for error, status in statuses.items()
    }
    assert headers_of(errors.UnreachableError("x")) == {"Retry-After": "2"}
    assert headers_of(errors.ConflictError("x")) == {}
    assert "secret" not in problem_of(errors.InternalError("a secret"), "7")["detail"]


def test_manifests_have_all_their_findings():
    findings = [Problem("b.yaml", 1, 2, "spec", "no"), Problem("a.yaml", 3, 4, "", "wrong")]
    problem = problem_of(errors.InvalidManifestsError(findings), "7")
    assert problem["code"] == "invalid_manifest"
    assert problem["requestId"] == "7"
    assert [(item["file"], item["line"]) for item in problem["findings"]] == [
        ("a.yaml", 3),
        ("b.yaml", 1),
    ]
