"""Small values that all other packages use: ids, durations, times, JSON forms, log entries."""
