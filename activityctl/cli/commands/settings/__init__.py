"""Commands that show and change settings, and show the version."""
