"""Commands that show objects and what happened to them."""
