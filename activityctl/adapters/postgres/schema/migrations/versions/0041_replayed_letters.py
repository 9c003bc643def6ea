"""Close the dead letter of a run when a replay of it has succeeded; so also those of before."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""
    op.drop_constraint("letter_actions_action_check", "letter_actions")
    op.create_check_constraint(
        op.f("letter_actions_action_check"),
        "letter_actions",
        "action in ('retried', 'discarded', 'replayed')",
    )
    op.drop_index("letter_actions_run_id_index", "letter_actions")
    op.create_index(
        "letter_actions_run_id_index",
        "letter_actions",
        ["run_id"],
        unique=True,
        postgresql_where=sa.text("action = 'retried'"),
    )
    op.execute(
        """WITH RECURSIVE of_firing(id, first) AS (
            SELECT r.id, r.id FROM runs r WHERE r.replay_of IS NULL
                AND EXISTS (SELECT FROM runs later WHERE later.replay_of = r.id)
            UNION ALL
            SELECT r.id, f.first FROM runs r JOIN of_firing f ON r.replay_of = f.id)
        INSERT INTO letter_actions (letter_id, number, action, actor, reason, run_id,
            new_revision, new_keys, created_at)
        SELECT DISTINCT ON (d.id) d.id, 1, 'replayed', 'activityctl',
            'a replay of its run has succeeded', later.id,
            false, false, later.ended_at
        FROM dead_letters d JOIN runs r ON r.id = d.run_id JOIN of_firing f ON f.id = d.run_id
        JOIN of_firing other ON other.first = f.first JOIN runs later ON later.id = other.id
        WHERE later.status = 'succeeded' AND later.ended_at IS NOT NULL AND later.id <> d.run_id
            AND later.replay_of IS NOT NULL AND r.created_at <= later.created_at
            AND NOT EXISTS (SELECT FROM letter_actions a WHERE a.letter_id = d.id)
            AND NOT EXISTS (SELECT FROM dead_letters own WHERE own.run_id = later.id)
        ORDER BY d.id, later.ended_at"""
    )
