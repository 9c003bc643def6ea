"""The stores in Postgres, with its tables and migrations."""
