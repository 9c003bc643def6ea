"""Small values that every other room uses: ids, durations, moments, JSON forms, log entries."""
