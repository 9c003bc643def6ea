"""Commands that run the product: daemon, worker, API."""
