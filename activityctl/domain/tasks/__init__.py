"""What governs one task: its retries, its time limits, and what keeps a destination safe."""
