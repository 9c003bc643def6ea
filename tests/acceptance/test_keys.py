"""`keys` as a user types it."""

import re

PRIVATE = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_keys_are_made_imported_rotated_listed_and_removed(stranger):
    made = stranger("keys", "create", "hook", "--kind", "hmac")
    (key,) = re.findall(r"^hmacKey: ([0-9a-f]{64})$", made.stdout, re.MULTILINE)
    assert "shown only now" in made.stderr
    imported = stranger("keys", "import", "signer", "--kind", "executor", stdin=f"0x{PRIVATE}\n")
    assert imported.stdout.startswith(f"key/signer imported: {ADDRESS}, in encrypted file ")
    rotated = stranger("keys", "rotate", "hook", "--overlap", "2d")
    assert re.search(r"version 1 \(sha256:\w+\) is accepted until \d{4}-", rotated.stderr)
    assert "add --yes" in stranger("keys", "remove", "signer", code=1).stderr
    stranger("keys", "remove", "hook", "--version", "1", "--yes")
    (hook, signer) = stranger.json("keys", "list")["items"]
    assert [version["number"] for version in hook["versions"]] == [2]
    assert (signer["kind"], signer["address"]) == ("executor", ADDRESS)
    shown = f"{stranger('keys', 'list').stdout} {hook} {signer} {imported.stdout}"
    assert ADDRESS in shown
    assert key not in shown
    assert PRIVATE not in shown
