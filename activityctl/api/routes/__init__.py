"""The paths of the HTTP API, one file for each area; each calls operations and shapes answers."""
