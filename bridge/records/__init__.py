"""Durable call records: what must outlast a call.

``schema`` has the tables, ``store`` reads and writes them, ``writer`` carries what a call's
observers are told to the store on a thread of its own, and ``migrations`` bring an older database
up to date (``bridge db upgrade``).
"""

from bridge.records.store import RecordStore

__all__ = ["RecordStore"]
