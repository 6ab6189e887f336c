"""The plugin as a package: what it takes, what it registers, what it leaves alone."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from livekit.agents import Plugin

import telnyx_media.livekit_compat as package
from telnyx_media.livekit_compat import STT, TTS, ChunkedStream, SpeechStream, SynthesizeStream
from telnyx_media.livekit_compat.crossing import Crossing
from tests.compat.helpers import ONCE, frame, make_stt, run
from tests.loopback import PATIENCE
from tests.loopback.servers import KEY
from tests.loopback.stt import SttPeer, recognise, silence, utterance

pytestmark = pytest.mark.livekit

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "telnyx_media" / "livekit_compat").glob("*.py"))


def test_every_keyword_and_default_of_the_published_plugin_is_taken() -> None:
    """Changing the import is enough."""
    published = pytest.importorskip("livekit.plugins.telnyx")
    for theirs, ours in ((published.STT, STT), (published.TTS, TTS)):
        wanted = inspect.signature(theirs.__init__).parameters
        taken = inspect.signature(ours.__init__).parameters
        for name, parameter in wanted.items():
            assert taken[name].default == parameter.default, name
            assert taken[name].kind == parameter.kind, name
        ours(api_key=KEY, http_session=None)
        for method in ("stream", "recognize", "synthesize"):
            if hasattr(theirs, method):
                names = set(inspect.signature(getattr(theirs, method)).parameters)
                assert names <= set(inspect.signature(getattr(ours, method)).parameters)
    assert STT(api_key=KEY).model == published.STT(api_key=KEY).model
    assert TTS(api_key=KEY).model == published.TTS(api_key=KEY).model
    assert TTS(api_key=KEY).sample_rate == published.TTS(api_key=KEY).sample_rate


def test_labels_name_the_class() -> None:
    """Metrics and traces tell whose they are."""
    assert STT(api_key=KEY).label == "telnyx_media.livekit_compat.stt.STT"
    assert TTS(api_key=KEY).label == "telnyx_media.livekit_compat.tts.TTS"


def test_r13_log_calls_format_lazily() -> None:
    """A line that is not wanted costs nothing, and formatting is the logger's."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                assert isinstance(node.args[0], ast.Constant), ast.unparse(node)


@pytest.mark.parametrize("cls", [STT, TTS, SpeechStream, SynthesizeStream, ChunkedStream])
def test_r14_the_public_classes_are_documented(cls: type) -> None:
    """So is each of their public methods that they define."""
    assert inspect.getdoc(cls)
    for name, member in vars(cls).items():
        if not name.startswith("_") and callable(member):
            assert member.__doc__, name


def test_r15_types_are_published() -> None:
    """Both packages carry the mark that type checkers look for."""
    assert (ROOT / "telnyx_media" / "py.typed").exists()
    assert (ROOT / "livekit" / "plugins" / "telnyx_threads" / "py.typed").exists()


def test_r16_the_plugin_is_registered_once_under_either_name() -> None:
    """LiveKit lists it with title, version, package and a logger of its own."""
    threads = importlib.import_module("livekit.plugins.telnyx_threads")
    assert threads.STT is STT
    assert threads.__version__ == package.__version__
    mine = [plugin for plugin in Plugin.registered_plugins if "telnyx_media" in plugin.package]
    assert len(mine) == 1
    assert mine[0].version == package.__version__
    assert mine[0].logger is not None
    assert mine[0].logger.name == "livekit.plugins.telnyx_threads"
    importlib.import_module(mine[0].package)
    mine[0].download_files()


def test_r16_nothing_shadows_livekits_namespace() -> None:
    """Our folder adds to the namespace; a file in the wrong place would hide all the others."""
    assert not (ROOT / "livekit" / "__init__.py").exists()
    assert not (ROOT / "livekit" / "plugins" / "__init__.py").exists()


def test_r20_the_version_is_that_of_the_distribution() -> None:
    """What LiveKit shows is what pip shows."""
    text = (ROOT / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"', text, re.MULTILINE)
    assert found is not None
    assert found[1] == package.__version__


def test_importing_and_making_starts_nothing() -> None:
    """No thread, no loop and no socket before there is a stream; workers fork after the import."""
    code = (
        "import socket, threading\n"
        "def forbidden(*a, **k): raise AssertionError('a socket')\n"
        "import livekit.agents\n"
        "before = set(threading.enumerate())\n"
        "socket.socket.connect = forbidden\n"
        "from livekit.plugins.telnyx_threads import STT, TTS\n"
        "STT(api_key='k'); TTS(api_key='k')\n"
        "assert set(threading.enumerate()) == before, threading.enumerate()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_registering_away_from_the_main_thread_is_refused_by_livekit() -> None:
    """The framework's rule; the message is its own."""
    code = (
        "import threading\n"
        "found = []\n"
        "def load():\n"
        "    try:\n"
        "        import telnyx_media.livekit_compat\n"
        "    except RuntimeError as error:\n"
        "        found.append(error)\n"
        "thread = threading.Thread(target=load); thread.start(); thread.join()\n"
        "assert found, 'it was registered'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


@pytest.mark.slow
def test_a_worker_of_a_fork_server_transcribes() -> None:
    """The package is imported before the fork, as LiveKit's workers do, and works after it."""
    with SttPeer(recognise()) as peer:
        script = ROOT / "tests" / "compat" / "forked.py"
        done = subprocess.run(
            [sys.executable, str(script), peer.url],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=120,
        )
        assert done.stdout.split() == ["w0", "w1", "w2"], done.stderr


@pytest.mark.slow
def test_the_interpreter_ends_while_streams_are_open() -> None:
    """A process that simply returns is not held up by a stream nobody closed."""
    with SttPeer(recognise(at_end="mute")) as peer:
        code = (
            "import asyncio, time\n"
            "from telnyx_media.livekit_compat import STT\n"
            "async def main():\n"
            f"    stt = STT(api_key='k', base_url={peer.url!r})\n"
            "    stream = stt.stream()\n"
            "    await asyncio.sleep(0.5)\n"
            "asyncio.run(main())\n"
            "print(time.monotonic())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert time.monotonic() - float(done.stdout) < PATIENCE


def test_the_loops_own_executor_is_never_used() -> None:
    """With every worker of it blocked, speech is still transcribed."""
    audio = frame(silence(0.3) + utterance(0, 3))

    async def main() -> None:
        release = threading.Event()
        loop = asyncio.get_running_loop()
        blocked = [loop.run_in_executor(None, release.wait, PATIENCE) for _ in range(64)]
        try:
            with SttPeer(recognise()) as peer:
                url = peer.url.replace("127.0.0.1", "localhost")
                event = await make_stt(peer, base_url=url).recognize(audio, conn_options=ONCE)
                assert event.alternatives[0].text == "w0 w1 w2"
        finally:
            release.set()
            await asyncio.gather(*blocked)

    run(main)


def test_r39_nothing_of_aiohttp_is_used() -> None:
    """There is no session that could leak, or belong to the wrong loop."""
    for path in SOURCES:
        assert "aiohttp" not in {
            alias.name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }


def test_prewarm_returns_at_once_and_needs_no_loop() -> None:
    """It may be called before there is a loop, and twice."""
    stt, tts = STT(api_key=KEY), TTS(api_key=KEY)
    for _ in range(2):
        stt.prewarm()
        tts.prewarm()


def test_what_threads_bring_crosses_in_order_and_at_one_call() -> None:
    """A thousand items that come together call the loop once."""

    async def main() -> None:
        crossing: Crossing[int] = Crossing()
        loop = asyncio.get_running_loop()
        calls = 0
        call = loop.call_soon_threadsafe

        def counting(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            return call(*args, **kwargs)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counting  # type: ignore[assignment, method-assign]
        waiting = asyncio.create_task(crossing.take())
        await asyncio.sleep(0)
        thread = threading.Thread(target=lambda: [*map(crossing.put, range(1000))])
        thread.start()
        # The loop does not run meanwhile: all of it comes together.
        thread.join()
        assert [await waiting] + [await crossing.take() for _ in range(999)] == list(range(1000))
        assert calls == 1

    run(main)


def test_a_loop_that_has_ended_is_left_alone() -> None:
    """What comes too late is dropped without a word."""
    crossing = run(_make_crossing)
    crossing.put(1)
    crossing.put(2)


async def _make_crossing() -> Crossing[int]:
    return Crossing()
