"""Post-call webhooks that are to be sent."""

import sqlalchemy as sa
from alembic import op

from bridge.records.schema import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column(
            "call_id",
            sa.String(128),
            sa.ForeignKey("calls.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("due_at", Moment, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at", Moment),
        sa.Column("given_up", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("deliveries")
