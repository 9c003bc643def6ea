"""One file per task kind or context source, named as in YAML."""
