"""Act on subscriptions and runs: trigger, pause, resume, cancel, backfill, wait."""
