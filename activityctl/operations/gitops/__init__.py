"""Load, check, plan and apply manifests; history and rollback."""
