"""Steps: the Temporal activities that workflows call."""
