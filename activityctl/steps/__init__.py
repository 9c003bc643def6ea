"""Bodies of the calls that workflows make (Temporal activities)."""
