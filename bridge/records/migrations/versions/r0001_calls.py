"""Calls, remarks, events, recordings and costs."""

import sqlalchemy as sa
from alembic import op

from bridge.records.schema import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "calls",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("call_control_id", sa.String(256), nullable=False, index=True),
        sa.Column("call_session_id", sa.String(128), nullable=False, index=True),
        sa.Column("connection_id", sa.String(64), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("from_number", sa.String(256), nullable=False, index=True),
        sa.Column("to_number", sa.String(256), nullable=False, index=True),
        sa.Column("codec", sa.String(16), nullable=False),
        sa.Column("sample_rate", sa.Integer, nullable=False),
        sa.Column("began_at", Moment, nullable=False, index=True),
        sa.Column("media_at", Moment),
        sa.Column("ended_at", Moment, index=True),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("hangup_cause", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("total_cost", sa.String(32)),
        sa.Column("currency", sa.String(8), nullable=False),
    )
    op.create_table(
        "remarks",
        sa.Column("id", sa.String(36), primary_key=True),
        _call_id(),
        sa.Column("speaker", sa.String(8), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("heard", sa.Text, nullable=False),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.Column("digits", sa.Integer, nullable=False),
        sa.Column("confidence", sa.Double),
        sa.Column("at", Moment, nullable=False),
        sa.Column("until", Moment),
        sa.Column("latencies", sa.JSON, nullable=False),
    )
    op.create_index("ix_remarks_call_at", "remarks", ["call_id", "at"])
    op.create_table(
        "events",
        sa.Column("id", sa.String(128), primary_key=True),
        _call_id(index=True),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("occurred_at", Moment, nullable=False),
    )
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(36), primary_key=True),
        _call_id(index=True),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("channels", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("began_at", Moment, nullable=False),
    )
    op.create_table(
        "costs",
        sa.Column("id", sa.String(160), primary_key=True),
        _call_id(index=True),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("cost", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("billed_seconds", sa.Integer),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    for table in ("costs", "recordings", "events", "remarks", "calls"):
        op.drop_table(table)


def _call_id(*, index: bool = False) -> "sa.Column[str]":
    return sa.Column(
        "call_id",
        sa.String(128),
        sa.ForeignKey("calls.id", ondelete="CASCADE"),
        nullable=False,
        index=index,
    )
