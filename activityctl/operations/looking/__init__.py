"""Read and show what is there and what comes next."""
