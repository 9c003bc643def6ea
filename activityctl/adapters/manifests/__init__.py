"""YAML files read strictly into manifests, every problem with its place."""
