"""The tables of the call records.

A call is one leg, known by its ``call_leg_id``, so that whichever process tells of it means the
same row.  What was said is one row per turn and reply, written when it happened; each has an id of
its own, so writing it again changes nothing.

Digits that a caller pressed are counted, never stored.

Pure: no connection is made here.
"""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Moment(TypeDecorator[datetime]):
    """A point in time, always with its zone; SQLite keeps none, so it is UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn any zone into UTC."""
        return value.astimezone(timezone.utc) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back that SQLite dropped."""
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value


class Base(DeclarativeBase):
    """What all tables have in common."""


class CallRecord(Base):
    """One leg, from its first webhook event on."""

    __tablename__ = "calls"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    """The ``call_leg_id``."""
    call_control_id: Mapped[str] = mapped_column(String(256), default="", index=True)
    call_session_id: Mapped[str] = mapped_column(String(128), default="", index=True)
    connection_id: Mapped[str] = mapped_column(String(64), default="")
    direction: Mapped[str] = mapped_column(String(16), default="inbound")
    from_number: Mapped[str] = mapped_column(String(256), default="", index=True)
    to_number: Mapped[str] = mapped_column(String(256), default="", index=True)
    codec: Mapped[str] = mapped_column(String(16), default="")
    sample_rate: Mapped[int] = mapped_column(default=0)
    began_at: Mapped[datetime] = mapped_column(Moment, index=True)
    media_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the first media stream started: zero of the recording's time."""
    ended_at: Mapped[datetime | None] = mapped_column(Moment, index=True)
    """``None`` while the call is live."""
    reason: Mapped[str] = mapped_column(String(64), default="")
    hangup_cause: Mapped[str] = mapped_column(String(64), default="")
    counts: Mapped[dict[str, int | float]] = mapped_column(JSON, default=dict)
    """Numbers of the summary: turns, replies, barge_ins, packets, lost_packets…"""
    total_cost: Mapped[str | None] = mapped_column(String(32))
    """What Telnyx charged, as its decimal text, if it was sent."""
    currency: Mapped[str] = mapped_column(String(8), default="")

    remarks: Mapped[list[RemarkRecord]] = relationship(
        cascade="all, delete-orphan",
        order_by="RemarkRecord.at, RemarkRecord.id",
        passive_deletes=True,
    )
    events: Mapped[list[EventRecord]] = relationship(
        cascade="all, delete-orphan", order_by="EventRecord.occurred_at", passive_deletes=True
    )
    recordings: Mapped[list[RecordingRecord]] = relationship(
        cascade="all, delete-orphan", order_by="RecordingRecord.began_at", passive_deletes=True
    )
    costs: Mapped[list[CostRecord]] = relationship(
        cascade="all, delete-orphan", order_by="CostRecord.id", passive_deletes=True
    )

    @property
    def seconds(self) -> float | None:
        """How long it lasted; ``None`` while it is live."""
        return None if self.ended_at is None else (self.ended_at - self.began_at).total_seconds()


class RemarkRecord(Base):
    """Something that was said: a turn of the caller or a reply of the agent."""

    __tablename__ = "remarks"
    __table_args__ = (Index("ix_remarks_call_at", "call_id", "at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    speaker: Mapped[str] = mapped_column(String(8))
    """``caller`` or ``agent``."""
    text: Mapped[str] = mapped_column(Text, default="")
    """The words; for the agent what it was to say."""
    heard: Mapped[str] = mapped_column(Text, default="")
    """What the other one heard of it."""
    interrupted: Mapped[bool] = mapped_column(default=False)
    digits: Mapped[int] = mapped_column(default=0)
    """How many keys were pressed; which ones is kept nowhere."""
    confidence: Mapped[float | None] = mapped_column(Double)
    at: Mapped[datetime] = mapped_column(Moment)
    """When it began."""
    until: Mapped[datetime | None] = mapped_column(Moment)
    """When it was over."""
    latencies: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    """Seconds: endpoint, agent, first_text, first_audio, first_frame, total."""


class EventRecord(Base):
    """A webhook event of a call: its name and time, nothing of its payload."""

    __tablename__ = "events"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    """Telnyx's ``data.id``."""
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    event_type: Mapped[str] = mapped_column(String(64))
    occurred_at: Mapped[datetime] = mapped_column(Moment)


class RecordingRecord(Base):
    """A recording of a call and where it is kept."""

    __tablename__ = "recordings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    location: Mapped[str] = mapped_column(Text)
    """Its name in the recordings directory, or its storage URL."""
    channels: Mapped[int] = mapped_column(default=2)
    seconds: Mapped[float] = mapped_column(Double, default=0.0)
    began_at: Mapped[datetime] = mapped_column(Moment)
    """When the first of its audio was heard."""


class CostRecord(Base):
    """One part of what a call cost, as ``call.cost`` lists it."""

    __tablename__ = "costs"

    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    """The event's id and the part's place in it."""
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    part: Mapped[str] = mapped_column(String(64))
    cost: Mapped[str] = mapped_column(String(32))
    currency: Mapped[str] = mapped_column(String(8), default="USD")
    billed_seconds: Mapped[int | None] = mapped_column()


class DeliveryRecord(Base):
    """A post-call webhook: to be sent, or sent."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The ``webhook-id``, the same at every attempt."""
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    due_at: Mapped[datetime] = mapped_column(Moment, index=True)
    """When it is to be tried next."""
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    """When it was taken; ``None`` until then."""
    given_up: Mapped[bool] = mapped_column(default=False)
