"""Read objects and figures, and compute upcoming firings."""
