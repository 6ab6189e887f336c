"""The transcription engines behind Telnyx's socket, and what each understands.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from telnyx_media.errors import ConfigurationError

CONTAINERS = frozenset({"mp3", "wav", "webm", "webm_opus", "ogg", "ogg_opus", "flac"})
"""Formats with a header of their own, for which ``sample_rate`` is not needed."""

RAW_FORMATS = frozenset(
    {"linear16", "linear32", "mulaw", "alaw", "opus", "amr_nb", "amr_wb", "g729", "speex"}
)
FORMATS = CONTAINERS | RAW_FORMATS


@dataclass(frozen=True)
class Engine:
    """What one transcription engine understands (Telnyx: parameter and message pages).

    Attributes:
        name: in the exact case that goes over the wire.
        formats: the input formats it takes.
        interims: whether ``interim_results`` may be sent to it.
        endpointing: whether it takes ``endpointing``.
        signals_endpoints: whether ``speech_final`` or ``utterance_end`` mark the end of an
            utterance; of other engines each final is one.
        controls: whether it understands ``Finalize`` and ``KeepAlive``.
    """

    name: str
    formats: frozenset[str] = field(default_factory=lambda: FORMATS - {"mulaw", "alaw"})
    interims: bool = False
    endpointing: bool = False
    signals_endpoints: bool = False
    controls: bool = False


_BASIC = frozenset({"mp3", "wav", "linear16", "linear32"})

ENGINES: Mapping[str, Engine] = {
    engine.name.lower(): engine
    for engine in (
        Engine(
            "Deepgram",
            FORMATS,
            interims=True,
            endpointing=True,
            signals_endpoints=True,
            controls=True,
        ),
        Engine("Telnyx", _BASIC),
        Engine("Google", FORMATS - {"alaw"}, endpointing=True),
        Engine("Azure"),
        Engine("xAI", endpointing=True),
        Engine("AssemblyAI"),
        Engine("Speechmatics", interims=True, endpointing=True),
        Engine("Soniox", interims=True, endpointing=True),
        Engine("Parakeet"),
        Engine("Humain"),
        Engine("Reson8"),
        Engine("Cohere"),
    )
}
"""The engines by lower-case name (Telnyx: transcription_engine parameter, error 40007)."""


def find_engine(name: str, *, strict: bool = True) -> Engine:
    """Find an engine whatever case its name was typed in.

    Args:
        name: the name; an unknown one passes through unchanged unless ``strict``.
        strict: whether an unknown name is an error.

    Raises:
        ConfigurationError: the name is unknown and ``strict`` is set.
    """
    engine = ENGINES.get(name.strip().lower())
    if engine is not None:
        return engine
    if strict or not name.strip():
        allowed = ", ".join(e.name for e in ENGINES.values())
        raise ConfigurationError(f"transcription_engine: {name!r} is not one of {allowed}")
    # Nothing is known of it: only what every engine takes is sent to it.
    return Engine(name.strip())
