"""Credentials: refused in manifests, masked in what is stored and shown, removed by `purge`."""

LITERAL = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata:
  name: %(name)s
  annotations: {%(annotations)s}
spec:
  tasks:
    - name: call
      http:
        url: https://a.example/
        headers:
          Accept: text/plain
          Authorization: Bearer canary-of-the-manifest
"""


def test_a_literal_credential_is_refused_with_its_position(stranger):
    (stranger.folder / "a.yaml").write_text(LITERAL % {"name": "a", "annotations": ""})
    done = stranger("validate", "-f", "a.yaml", code=3)
    assert "error: a.yaml:14:26: spec.tasks[0].http.headers.Authorization: " in done.stderr
    assert "secretRef is not available in this version" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    shown = stranger("validate", "-f", "a.yaml", "-o", "json", code=3).stdout
    assert '"valid": false' in shown
    assert "canary" not in shown


def test_an_annotation_allows_what_only_looks_like_a_secret(stranger):
    allowing = "activityctl/literal-secrets: allow"
    (stranger.folder / "a.yaml").write_text(LITERAL % {"name": "a", "annotations": allowing})
    stranger("validate", "-f", "a.yaml")
