"""Commands that show objects, their logs and their next firings."""
