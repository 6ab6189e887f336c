"""Run the revisions on the connection that :mod:`bridge.records.migration` hands over."""

from alembic import context

from bridge.records.schema import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite cannot change a column; Alembic then copies the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
