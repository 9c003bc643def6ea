"""Entry point of Alembic: runs the migrations on the connection that `migrate` passes."""

from alembic import context

from activityctl.adapters.postgres.schema.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
