"""Which subscriptions an event wakes, why the others do not start, and the index over them."""
