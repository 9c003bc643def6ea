"""What the API of the Builder Kit does: registers executors and tells the logs of subscriptions."""
