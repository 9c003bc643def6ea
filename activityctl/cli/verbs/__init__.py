"""What commands ask of the servers: by Postgres, or by the HTTP API that does the same there."""
