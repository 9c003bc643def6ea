"""Long-lived processes: supervisor, worker, dispatcher, reconciler."""
