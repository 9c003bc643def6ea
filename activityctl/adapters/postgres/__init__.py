"""Tables, migrations and stores in Postgres."""
