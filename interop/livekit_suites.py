"""Run LiveKit's own test suites against our plugin, from a checkout of ``livekit/agents``.

    python3.11 -m venv .venv-suites
    .venv-suites/bin/pip install -e '.[livekit]' pytest pytest-asyncio jiwer python-dotenv
    .venv-suites/bin/python interop/livekit_suites.py PATH-OF-THE-CHECKOUT

The provider suites (``test_tts.py``, ``test_stt.py``) want real providers, a Deepgram key and a
proxy in docker.  Copies of them in a temporary directory are pointed at a scripted service on
loopback; what they assert is left as it is, but that durations are compared in place of the
transcription of synthesised speech.  They run twice: with a service that closes by itself, and with
one that waits for ``CloseStream``.  The framework's suites run beside the plugin as they are.

``--published`` runs the provider suites with ``livekit-plugins-telnyx`` instead.

Python 3.11 or later; the checkout's version should be the one that is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

FRAMEWORK = (
    "test_stt_base", "test_stt_fallback", "test_tts_fallback", "test_audio_emitter",
    "test_audio_decoder", "test_stt_prewarm", "test_connection_pool", "test_exceptions",
    "test_aligned_transcript_fallback", "test_stt_context",
)  # fmt: skip

# Letters per second of the scripted voice; see benchmarks/livekit_service.py.
PACE = 15.0

# Of marks that their continuous integration registers.
QUIET = "ignore::pytest.PytestUnknownMarkWarning"

OURS, PUBLISHED = "telnyx_media.livekit_compat", "livekit.plugins.telnyx"


# -- the service, in a process of its own ----------------------------------------------------------


def serve(mode: str, sentences: Path, stall: Path) -> None:
    """Serve until standard input is closed; print the two addresses first."""
    sys.path.insert(0, str(ROOT))
    sys.path.append(str(ROOT / "benchmarks"))
    import base64
    import importlib
    import json

    from tests.loopback.servers import Conversation
    from tests.loopback.stt import SttPeer
    from tests.loopback.tts import TtsPeer

    voice = importlib.import_module("livekit_service")
    lines = [line.strip() for line in sentences.read_text().splitlines() if line.strip()]

    def transcribe(conversation: Conversation) -> None:
        sent, heard = 0, 0.0
        while True:
            try:
                message = conversation.receive(0.7 if mode == "closes" else None)
            except TimeoutError:
                break
            if not isinstance(message, bytes):
                if "CloseStream" in message:
                    break
                continue
            heard += len(message) / 2 / voice.RATE
            while sent < len(lines) - 1 and heard > 3 * (sent + 1):
                conversation.send({"transcript": lines[sent], "is_final": True, "confidence": None})
                sent += 1
        for line in lines[sent:]:
            conversation.send({"transcript": line, "is_final": True, "confidence": 0.9})

    def synthesise(conversation: Conversation) -> None:
        waiting = ""
        while True:
            frame = json.loads(conversation.receive())
            waiting += frame["text"]
            if frame["text"] and not frame.get("flush"):
                continue
            for sentence in re.findall(r"[^.!?]+[.!?]?", waiting.strip()):
                audio = voice.speak(sentence)
                for at in range(0, len(audio), 4096):
                    piece = base64.b64encode(audio[at : at + 4096]).decode()
                    conversation.send({"audio": piece, "text": None, "isFinal": False})
                conversation.send({"audio": None, "text": sentence, "isFinal": False})
            waiting = ""
            if not frame["text"]:
                break
        conversation.send({"audio": None, "text": "", "isFinal": True})

    def answer(request: object) -> None:
        while stall.exists():
            time.sleep(0.02)

    with SttPeer(transcribe) as stt, TtsPeer(synthesise, answer=answer) as tts:
        print(stt.url, tts.url, flush=True)
        sys.stdin.read()


# -- the copies ------------------------------------------------------------------------------------


class Copy:
    """A file of the copied suites, to be changed at places that must be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = path.read_text()

    def put(self, pattern: str, text: str) -> Copy:
        """Put ``text`` in place of the first match of ``pattern``."""
        changed, count = re.subn(pattern, lambda _: text, self._text, count=1, flags=re.DOTALL)
        if not count:
            raise SystemExit(f"{self._path.name} has changed: nothing matches {pattern!r}")
        self._text = changed
        return self

    def save(self) -> None:
        """Write it."""
        self._path.write_text(self._text)


IMPORT = (
    "import importlib, os\nPLUGIN_MODULE = importlib.import_module(os.environ['SUITE_PLUGIN'])\n"
)


def adapt(tests: Path) -> None:
    """Point the copies at loopback."""
    utils = tests / "utils" / "__init__.py"
    (
        Copy(utils if utils.exists() else tests / "utils.py")
        .put(r"import tiktoken\n", "import re\n")
        .put(r"    enc = tiktoken[^\n]*\n", "")
        .put(r"    token_ids = [^\n]*\n", r"    token_ids = re.findall(r'\s*\S+', text)" + "\n")
        .put(r"yield enc\.decode\(\[tok_id\]\)", "yield tok_id")
        .put(
            r"    input_audio = await read_audio_file\([^\n]*\n",
            "    import array, math\n"
            "    wave = (int(9000 * math.sin(i * 0.05)) * bool(i // 24000 % 4) for i in"
            " range(48000 * 30))\n"
            "    input_audio = rtc.AudioFrame(array.array('h', wave).tobytes(), 48000, 1,"
            " 48000 * 30)\n",
        )
        .save()
    )
    made = (
        "[pytest.param(lambda: {'tts': PLUGIN_MODULE.TTS(api_key='KEY', "
        "base_url=os.environ['SUITE_TTS']), 'proxy-upstream': 'x:1'}, id='telnyx')]\n"
    )
    (
        Copy(tests / "test_tts.py")
        .put(r"from livekit\.plugins import \(.*?\)\n", IMPORT)
        .put(r"SYNTHESIZE_TTS = \[\n.*?\n\]\n", "SYNTHESIZE_TTS = " + made)
        .put(r"STREAM_TTS = \[\n.*?\n\]\n", "STREAM_TTS = " + made)
        .put(
            r"    params = urlencode\(.*?\n(?=    assert wer\(transcribed, text\))",
            f"    want = sum(c.isalnum() for c in text) / {PACE}\n"
            "    assert abs(frame.duration - want) < 0.1 * want + 0.3\n"
            "    return\n",
        )
        .save()
    )
    (
        Copy(tests / "test_stt.py")
        .put(r"from livekit\.plugins import \(.*?\)\n", IMPORT)
        .put(
            r"STTs: list\[.*?(?=@pytest\.fixture)",
            "STTs = [pytest.param(lambda: PLUGIN_MODULE.STT(api_key='KEY', "
            "base_url=os.environ['SUITE_STT']), id='telnyx')]\nSTREAM_ONLY_STTs = []\n\n\n",
        )
        .save()
    )
    (
        Copy(tests / "conftest.py")
        .put(
            r"    toxiproxy = Toxiproxy\(\)\n.*?destroy_all\(\)\n",
            "    import pathlib, os\n"
            "    stall = pathlib.Path(os.environ['SUITE_STALL'])\n"
            "    class Stalling:\n"
            "        def create(self, *args, **kwargs):\n"
            "            return self\n"
            "        def add_toxic(self, *args, **kwargs):\n"
            "            stall.touch()\n"
            "    yield Stalling()\n"
            "    stall.unlink(missing_ok=True)\n",
        )
        .save()
    )


def copy(checkout: Path, folder: Path) -> None:
    """Copy the suites of a checkout, or of a bare repository's newest commit."""
    if (checkout / "tests").is_dir():
        shutil.copytree(checkout / "tests", folder / "tests")
        shutil.copy(checkout / "pyproject.toml", folder)
        return
    archive = folder / "suites.tar"
    command = ["git", "-C", str(checkout), "archive", "-o", str(archive), "HEAD"]
    subprocess.run([*command, "tests", "pyproject.toml"], check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder)


# -- the run ---------------------------------------------------------------------------------------


def pytest(folder: Path, *arguments: str, **environ: str) -> bool:
    """Run pytest on the copies."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", QUIET]
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environ},
        check=False,
    )
    return done.returncode == 0


def framework(folder: Path) -> list[str]:
    """Name the framework's suites that can run."""
    names = [f"tests/{suite}.py" for suite in FRAMEWORK if (folder / f"tests/{suite}.py").exists()]
    speech = folder / "tests" / "change-sophie.wav"
    if speech.exists() and speech.read_bytes().startswith(b"version https://git-lfs"):
        print("without test_audio_decoder: its sounds were not fetched (git lfs pull)", flush=True)
        names.remove("tests/test_audio_decoder.py")
    return names


def providers(folder: Path, plugin: str, environ: dict[str, str]) -> bool:
    """Run the provider suites."""
    suites = ("tests/test_tts.py", "tests/test_stt.py", "--tts", "--stt")
    return pytest(folder, *suites, SUITE_PLUGIN=plugin, **environ)


def with_service(mode: str, folder: Path, use: Callable[[dict[str, str]], bool]) -> bool:
    """Do something beside the scripted service."""
    stall = folder / "stall"
    sentences = folder / "tests" / "long_transcript.txt"
    command = [sys.executable, __file__, "--serve", mode, str(sentences), str(stall)]
    pipe: Any = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as service:
        assert service.stdin is not None
        assert service.stdout is not None
        try:
            stt, tts = service.stdout.readline().split()
            return use({"SUITE_STT": stt, "SUITE_TTS": tts, "SUITE_STALL": str(stall)})
        finally:
            stall.unlink(missing_ok=True)
            service.stdin.close()


def main() -> int:
    """Run the suites; 0 when all of them passed."""
    parser = argparse.ArgumentParser(description="LiveKit's own suites, against our plugin.")
    parser.add_argument("checkout", type=Path, nargs="?", help="of livekit/agents")
    parser.add_argument("--published", action="store_true", help="test the published plugin")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        mode, sentences, stall = args.serve
        serve(mode, Path(sentences), Path(stall))
        return 0
    if args.checkout is None:
        parser.error("the path of a checkout of livekit/agents is needed")
    plugin = PUBLISHED if args.published else OURS
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy(args.checkout.resolve(), folder)
        adapt(folder / "tests")
        if not args.published:
            print("framework:", flush=True)
            # The plugin is registered beside them, as an application that imports it has it.
            passed &= pytest(folder, "-p", OURS, *framework(folder))
        for mode in ("closes", "waits"):
            print(f"providers, with a service that {mode}:", flush=True)
            passed &= with_service(mode, folder, lambda env: providers(folder, plugin, env))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
