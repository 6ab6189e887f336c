"""Telnyx on loopback: its REST API, webhooks, carrier, speech sockets, and its faults.

:class:`Simulator` is everything in one ``with`` block:

    with Simulator(webhook_url="http://127.0.0.1:8000/telnyx/webhook") as telnyx:
        os.environ.update(telnyx.environ)
        call = telnyx.place_call(caller=[{"say": "A table for two."}, {"hangup": True}])
        call.wait()
        call.write_wav("call.wav")

``bridge simulator`` runs it as a server, and the pytest fixture ``telnyx`` gives it to a test.
Nothing in here is imported by the bridge: whoever speaks to it, ours or not, does so over the wire.
"""

from bridge.simulator.behaviour import Behaviour
from bridge.simulator.callees import Callee
from bridge.simulator.calls import SimulatedCall
from bridge.simulator.faults import Faults
from bridge.simulator.script import ScriptError
from bridge.simulator.simulator import Simulator

__all__ = ["Behaviour", "Callee", "Faults", "ScriptError", "SimulatedCall", "Simulator"]
