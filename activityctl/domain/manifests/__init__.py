"""Manifests: the objects that people write in YAML, with their checks, schemas and explanations."""
