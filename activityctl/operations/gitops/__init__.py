"""Load, check, plan and apply manifests; show history, roll back, export and delete objects."""
