"""Where complete recordings are kept: a directory, or S3-compatible storage.

A host's own disk is often thrown away with the process, so recordings can go to object storage by
URL: ``s3://bucket/prefix``, ``?endpoint=https://…`` for another provider than AWS, ``&region=…``,
and credentials either where AWS's libraries look for them or in the URL,
``s3://KEY:SECRET@bucket/prefix``.

Threads: any.  Blocks on the disk or the network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from bridge.errors import SettingsError, StorageError

__all__ = ["DirectoryStorage", "S3Storage", "Storage", "Stored", "make_storage"]

# Bytes read at a time.
BLOCK = 256 * 1024

# Seconds to connect to the storage, and to wait for an answer.
CONNECT, ANSWER = 5, 30


@dataclass(frozen=True)
class Stored:
    """A recording that is being read.

    Attributes:
        size: bytes of the whole recording.
        first: the first byte that is read.
        last: the last one.
        blocks: the bytes; reading to their end, or :meth:`close`, ends it.
    """

    size: int
    first: int
    last: int
    blocks: Iterator[bytes]

    def close(self) -> None:
        """Read no further; may be called twice."""
        close = getattr(self.blocks, "close", None)
        if callable(close):
            close()


class Storage(Protocol):
    """Keeps recordings.

    Attributes:
        directory: where files grow until they are complete.
        remote: whether a complete file still has to be brought somewhere by :meth:`keep`.
    """

    directory: Path
    remote: bool

    def locate(self, name: str) -> str:
        """Tell where the recording of this file name is, or will be."""

    def keep(self, file: Path) -> None:
        """Bring a complete file to its place; raises StorageError to be tried again."""

    def read(self, location: str, first: int = 0, last: int | None = None) -> Stored | None:
        """Read a recording or a part of it; ``None`` if it is not there."""

    def delete(self, location: str) -> None:
        """Delete a recording; one that is not there is no error."""


def make_storage(place: str, home: Path) -> Storage:
    """Make the storage that ``BRIDGE_RECORDINGS`` names; nothing is opened.

    Args:
        place: a directory, or ``s3://bucket/prefix``.
        home: ``BRIDGE_HOME``; files wait there for their upload.

    Raises:
        SettingsError: it is neither, or the library for it is not installed.
    """
    if "://" not in place:
        return DirectoryStorage(Path(place).expanduser())
    if place.startswith("s3://"):
        return S3Storage(place, home / "recordings")
    raise SettingsError("BRIDGE_RECORDINGS must be a directory or begin with s3://")


class DirectoryStorage:
    """Recordings in a directory of this machine."""

    remote = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def locate(self, name: str) -> str:
        """Get the name: a directory that moves takes its recordings along."""
        return name

    def keep(self, file: Path) -> None:
        """Do nothing: the file is where it belongs."""

    def read(self, location: str, first: int = 0, last: int | None = None) -> Stored | None:
        """Read a recording or a part of it; ``None`` if it is not there."""
        return _read_file(self._file(location), first, last)

    def delete(self, location: str) -> None:
        """Delete a recording; one that is not there is no error."""
        try:
            self._file(location).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"could not delete a recording: {error.strerror}") from None

    def _file(self, location: str) -> Path:
        if "://" in location or Path(location).name != location or location in ("", "..", "."):
            raise StorageError("the recording is kept elsewhere: see BRIDGE_RECORDINGS")
        return self.directory / location


class S3Storage:
    """Recordings as objects in a bucket; files wait in a directory until they are there."""

    remote = True

    def __init__(self, url: str, directory: Path) -> None:
        """Read the URL; nothing is opened.

        Args:
            url: ``s3://[KEY:SECRET@]bucket[/prefix][?endpoint=https://…&region=…]``.
            directory: where files wait.

        Raises:
            SettingsError: it says no bucket, or boto3 is not installed.
        """
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        # Not .hostname, which is in lower case only.
        self.bucket = parts.netloc.rpartition("@")[2]
        unknown = ", ".join(sorted(options.keys() - {"endpoint", "region"}))
        if not self.bucket or unknown:
            raise SettingsError(
                f"BRIDGE_RECORDINGS: unknown option {unknown}"
                if unknown
                else "BRIDGE_RECORDINGS must name a bucket, like s3://bucket/prefix"
            )
        if importlib.util.find_spec("boto3") is None:
            raise SettingsError("BRIDGE_RECORDINGS: s3:// needs pip install 'telnyx-bridge[s3]'")
        prefix = parts.path.strip("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self.directory = directory
        self._endpoint = options.get("endpoint")
        self._region = options.get("region")
        self._credentials = (
            {
                "aws_access_key_id": unquote(parts.username),
                "aws_secret_access_key": unquote(parts.password or ""),
            }
            if parts.username
            else {}
        )
        self._client: Any = None

    def locate(self, name: str) -> str:
        """Get the object's URL."""
        return f"s3://{self.bucket}/{self.prefix}{name}"

    def keep(self, file: Path) -> None:
        """Upload a file and remove it here; blocks.

        Raises:
            StorageError: it did not succeed, and the file is still here.
        """
        from boto3.s3.transfer import TransferConfig

        with _told_plainly():
            self._connect().upload_file(
                str(file),
                self.bucket,
                self.prefix + file.name,
                ExtraArgs={"ContentType": "audio/wav"},
                # Otherwise it makes threads of its own.
                Config=TransferConfig(use_threads=False),
            )
        file.unlink(missing_ok=True)

    def read(self, location: str, first: int = 0, last: int | None = None) -> Stored | None:
        """Read a recording or a part of it, also one that waits here for its upload."""
        key = self._key(location)
        waiting = _read_file(self.directory / Path(key).name, first, last)
        if waiting is not None:
            return waiting
        with _told_plainly():
            client = self._connect()
            try:
                size = int(client.head_object(Bucket=self.bucket, Key=key)["ContentLength"])
            except client.exceptions.ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise
            end = min(size - 1, size - 1 if last is None else last)
            if first > end:
                return Stored(size, first, end, iter(()))
            answer = client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{end}")
        return Stored(size, first, end, _Blocks(answer["Body"], end - first + 1))

    def delete(self, location: str) -> None:
        """Delete a recording, also one that waits here; one that is not there is no error."""
        key = self._key(location)
        (self.directory / Path(key).name).unlink(missing_ok=True)
        with _told_plainly():
            self._connect().delete_object(Bucket=self.bucket, Key=key)

    def _key(self, location: str) -> str:
        start = f"s3://{self.bucket}/"
        if not location.startswith(start):
            raise StorageError("the recording is kept elsewhere: see BRIDGE_RECORDINGS")
        return location[len(start) :]

    def _connect(self) -> Any:
        # Two threads may make two; either serves.
        if self._client is None:
            import boto3
            from botocore.config import Config

            options: dict[str, Any] = {
                "connect_timeout": CONNECT,
                "read_timeout": ANSWER,
                "retries": {"max_attempts": 1},
                # What AWS added in 2025 is not known to other providers.
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            }
            if self._endpoint:
                options["s3"] = {"addressing_style": "path"}
            session: Any = boto3.session.Session()
            self._client = session.client(
                "s3",
                endpoint_url=self._endpoint,
                region_name=self._region or ("us-east-1" if self._endpoint else None),
                config=Config(**options),
                **self._credentials,
            )
        return self._client


class _told_plainly:  # noqa: N801 - it is used like a function
    """Turn what boto3 raises into one line without keys and addresses."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "unknown error")
            raise StorageError(f"the storage refused: {code}") from None
        if isinstance(error, Boto3Error):
            raise StorageError("the upload failed") from None
        if isinstance(error, BotoCoreError):
            raise StorageError(f"the storage failed: {type(error).__name__}") from None


def _read_file(path: Path, first: int, last: int | None) -> Stored | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"could not read a recording: {error.strerror}") from None
    size = file.seek(0, 2)
    end = min(size - 1, size - 1 if last is None else last)
    file.seek(first)
    return Stored(size, first, end, _Blocks(file, max(0, end - first + 1)))


class _Blocks:
    """The bytes of a file or an answer, until so many were read; closes it."""

    def __init__(self, source: Any, size: int) -> None:
        self._source = source
        self._left = size

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> bytes:
        block = self._source.read(min(self._left, BLOCK)) if self._left > 0 else b""
        self._left -= len(block)
        if not block:
            self.close()
            raise StopIteration
        return bytes(block)

    def close(self) -> None:
        """Stop reading; may be called twice."""
        self._left = 0
        self._source.close()
