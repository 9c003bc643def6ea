"""Commands that check, compare and apply manifests, and undo changes."""
