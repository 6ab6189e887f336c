"""Where recordings are kept: a directory, and an S3-speaking server on loopback."""

from __future__ import annotations

import logging
import socket
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import SettingsError, StorageError
from bridge.observer import Recording
from bridge.recorder import RecordingWriter
from bridge.records.erasure import Eraser, Retention
from bridge.records.schema import RecordingRecord
from bridge.records.store import RecordStore
from bridge.storage import DirectoryStorage, S3Storage, make_storage
from bridge.uploads import Uploads
from tests.app.databases import NOON
from tests.loopback import wait_until


class Bucket:
    """A bucket of a real S3 server (moto's) on loopback."""

    def __init__(self, url: str, client: Any) -> None:
        self.url = url
        self.client = client
        self.client.create_bucket(Bucket="Calls")

    @property
    def place(self) -> str:
        """What ``BRIDGE_RECORDINGS`` would say."""
        return f"s3://AKIDTEST:se%2Fcret@Calls/of/today?endpoint={self.url}"

    def names(self) -> list[str]:
        """List the objects."""
        found = self.client.list_objects_v2(Bucket="Calls").get("Contents", [])
        return [item["Key"] for item in found]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """An empty bucket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import boto3
        from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1",
        aws_access_key_id="x", aws_secret_access_key="x",
    )  # fmt: skip
    try:
        yield Bucket(f"http://{host}:{port}", client)
    finally:
        for item in client.list_objects_v2(Bucket="Calls").get("Contents", []):
            client.delete_object(Bucket="Calls", Key=item["Key"])
        client.delete_bucket(Bucket="Calls")
        client.close()
        server.stop()


def record(writer: RecordingWriter, name: str = "call") -> list[Recording]:
    """Write a recording of a second; what was told of it."""
    told: list[Recording] = []
    file = writer.begin(name, 8000, told.append)
    writer.write(file, bytes(32000))
    writer.write(file, None)
    return told


@pytest.mark.slow
def test_a_complete_recording_is_uploaded(bucket: Bucket, tmp_path: Path) -> None:
    """It is in the bucket, told of with its URL, and no longer here."""
    with RecordingWriter(make_storage(bucket.place, tmp_path)) as writer:
        told = record(writer)
        wait_until(lambda: told and not writer.uploads)
    assert told[0].location == "s3://Calls/of/today/call.wav"
    assert (told[0].seconds, told[0].channels) == (1.0, 2)
    assert bucket.names() == ["of/today/call.wav"]
    assert list((tmp_path / "recordings").iterdir()) == []
    storage = make_storage(bucket.place, tmp_path)
    stored = storage.read(told[0].location)
    assert stored is not None
    assert b"".join(stored.blocks)[:4] == b"RIFF"
    part = storage.read(told[0].location, 8, 11)
    assert part is not None
    assert (b"".join(part.blocks), part.size) == (b"WAVE", 32044)
    beyond = storage.read(told[0].location, 40_000)
    assert beyond is not None
    assert beyond.first > beyond.last
    storage.delete(told[0].location)
    storage.delete(told[0].location)
    assert bucket.names() == []
    assert storage.read(told[0].location) is None


@pytest.mark.slow
def test_a_storage_that_is_away_gets_it_later(bucket: Bucket, tmp_path: Path) -> None:
    """Until then the recording is here, private, and can be heard all the same."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = make_storage(f"s3://k:s@Calls/p?endpoint=http://127.0.0.1:{port}", tmp_path)
    writer = RecordingWriter(away)
    told = record(writer)
    wait_until(lambda: told and writer.uploads == 1)
    stored = away.read(told[0].location)
    assert stored is not None
    stored.close()
    writer.close()
    left = tmp_path / "recordings" / "call.wav"
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    # The next process, with its first recording.
    with RecordingWriter(make_storage(bucket.place, tmp_path)) as writer:
        record(writer, "another")
        wait_until(lambda: len(bucket.names()) == 2)
    assert not left.exists()


def test_a_failed_upload_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With one line, without keys and addresses."""

    class Flaky(DirectoryStorage):
        remote = True
        failures = 3

        def keep(self, file: Path) -> None:
            self.failures -= 1
            if self.failures >= 0:
                raise StorageError("the storage refused: SlowDown")
            file.unlink()

    storage = Flaky(tmp_path)
    file = tmp_path / "x.wav"
    file.write_bytes(b"x")
    uploads = Uploads(storage, pause=0.01)
    uploads.add(file)
    wait_until(lambda: not uploads.waiting)
    uploads.close()
    uploads.close()
    assert not file.exists()
    assert [r.getMessage() for r in caplog.records] == [
        "a recording waits for its upload: the storage refused: SlowDown"
    ]


@pytest.mark.slow
def test_what_is_refused_is_one_line(bucket: Bucket, tmp_path: Path) -> None:
    """A bucket that is not there, and nothing of the credentials."""
    wrong = make_storage(bucket.place.replace("Calls", "Other"), tmp_path)
    file = tmp_path / "x.wav"
    file.write_bytes(b"x")
    with pytest.raises(StorageError) as caught:
        wrong.keep(file)
    assert file.exists()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="kept elsewhere"):
        wrong.read("s3://Calls/x.wav")


def test_the_url_is_read(tmp_path: Path) -> None:
    """Bucket, prefix and options; what is not known is named."""
    plain = make_storage("s3://bucket", tmp_path)
    assert isinstance(plain, S3Storage)
    assert plain.locate("x.wav") == "s3://bucket/x.wav"
    assert make_storage("s3://Bucket/a/b/", tmp_path).locate("x") == "s3://Bucket/a/b/x"
    assert isinstance(make_storage("~/recordings", tmp_path), DirectoryStorage)
    for wrong in ("s3://", "s3://bucket?colour=red", "ftp://host/x"):
        with pytest.raises(SettingsError, match="BRIDGE_RECORDINGS"):
            make_storage(wrong, tmp_path)


@pytest.mark.parametrize("name", ["../x.wav", "a/b.wav", "/etc/passwd", "s3://b/x.wav", ".."])
def test_a_directory_gives_nothing_else_away(tmp_path: Path, name: str) -> None:
    """Only names in it."""
    storage = DirectoryStorage(tmp_path / "recordings")
    for act in (storage.read, storage.delete):
        with pytest.raises(StorageError):
            act(name)


def test_retention_deletes_records_and_recordings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is older than the days goes; what cannot go is said, and tried the next time."""
    caplog.set_level(logging.INFO)
    store = RecordStore.of(None, tmp_path)
    store.upgrade()
    storage = DirectoryStorage(tmp_path)
    for name in ("old", "stuck"):
        store.save_call(name, began_at=NOON.replace(year=2020), ended_at=NOON.replace(year=2020))
        place = f"{name}.wav" if name == "old" else "s3://elsewhere/x.wav"
        store.add(RecordingRecord, name, id=name, location=place, began_at=NOON)
    store.save_call("young")
    store.save_call("lost", began_at=NOON.replace(year=2019))
    (tmp_path / "old.wav").write_bytes(b"x")
    Retention(store, Eraser(store, storage), None)()
    assert len(store.calls()) == 4
    Retention(store, Eraser(store, storage), 30)()
    assert {call.id for call in store.calls()} == {"young", "stuck"}
    assert not (tmp_path / "old.wav").exists()
    lines = [record.getMessage() for record in caplog.records]
    assert "deleted 2 calls that were too old" in lines
    assert any(line.startswith("could not delete 1 calls: ") for line in lines)
    assert any(line.startswith("marked 1 calls as ended") for line in lines)
    store.close()


def test_nothing_is_left_of_what_was_deleted(tmp_path: Path) -> None:
    """Neither in the file nor in its log, though the app has the database open."""
    app, command = RecordStore.of(None, tmp_path), RecordStore.of(None, tmp_path)
    app.upgrade()
    for call_id, number in (("one", "+12025550147"), ("two", "+12025550148")):
        app.save_call(call_id, from_number=number, began_at=NOON, ended_at=NOON)
        for word in ("canary", "canary and more"):
            app.save_remark(
                call_id, id=f"r-{call_id}", speaker="agent", text=f"{word} of {call_id}", at=NOON
            )
    assert len(app.calls()) == 2
    done = Eraser(command, None).erase_number("+12025550147")
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert done.calls == 1
    assert b"+12025550148" in found
    assert b"canary and more of two" in found
    assert b"+12025550147" not in found
    assert b"of one" not in found
    for store in (app, command):
        store.close()
