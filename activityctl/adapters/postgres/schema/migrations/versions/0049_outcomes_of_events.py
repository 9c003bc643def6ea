"""Let the function that compares events with stored ones see what its own statement has stored.

Events are stored, compared and counted in one statement. A stable function would see what was
there when the statement began, without the events that another transaction has added meanwhile.
"""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration. The rights to the function stay as they are."""
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(f"ALTER FUNCTION {schema}.same_events(text[], text[]) VOLATILE")
