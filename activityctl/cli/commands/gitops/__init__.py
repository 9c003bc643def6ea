"""Commands that compare, check and change what manifests say."""
