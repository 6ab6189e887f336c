"""The vendor's SDK holds a call: commands out, signed webhooks in.

Run by check.py in the environment of the clients. Its standard output is one JSON object.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import telnyx

# Seconds for each thing that must happen.
PATIENCE = 15.0

client = telnyx.Telnyx(
    api_key=os.environ["TELNYX_API_KEY"],
    public_key=os.environ["TELNYX_PUBLIC_KEY"],
    base_url=os.environ["TELNYX_API_URL"],
)
events: queue.Queue[Any] = queue.Queue()
seen: list[str] = []
forged_refused = 0


class Webhooks(BaseHTTPRequestHandler):
    """Verifies each webhook with the SDK, as its documentation tells."""

    def do_POST(self) -> None:
        """Take a webhook, and see that one with a changed body is refused."""
        global forged_refused
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            event = client.webhooks.unwrap(body, headers=dict(self.headers))
        except ValueError as error:
            self.send_error(400, str(error))
            return
        try:
            client.webhooks.unwrap(body.replace("{", "{ ", 1), headers=dict(self.headers))
        except ValueError:
            forged_refused += 1
        events.put(event)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def wait_for(event_type: str) -> Any:
    """Wait for a webhook event; others are only noted."""
    while True:
        event = events.get(timeout=PATIENCE)
        seen.append(event.data.event_type)
        if event.data.event_type == event_type:
            return event.data.payload


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["WEBHOOK_PORT"])), Webhooks)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)

call = wait_for("call.initiated")
leg = call.call_control_id
actions = client.calls.actions
answer = actions.answer(leg, client_state="aW50ZXJvcA==", command_id="answer-once")
again = actions.answer(leg, client_state="aW50ZXJvcA==", command_id="answer-once")
answered = wait_for("call.answered")
status = client.calls.retrieve_status(leg)
actions.speak(
    leg, payload="Hello from the software development kit.", voice="female", language="en-US"
)
wait_for("call.speak.ended")
actions.send_dtmf(leg, digits="12#")
actions.hangup(leg)
hangup = wait_for("call.hangup")

try:
    actions.speak(leg, payload="too late", voice="female")
    late_error = None
except telnyx.APIStatusError as error:
    late_error = {"status": error.status_code, "body": error.body}
try:
    telnyx.Telnyx(api_key="KEYwrong", base_url=os.environ["TELNYX_API_URL"]).calls.retrieve_status(
        leg
    )
    wrong_key = None
except telnyx.AuthenticationError as error:
    wrong_key = error.status_code

dialled = client.calls.dial(
    connection_id=call.connection_id, to="+12025550199", from_=os.environ["NUMBER"]
)
outgoing = wait_for("call.initiated")
client.calls.actions.hangup(dialled.data.call_control_id)
wait_for("call.hangup")
server.shutdown()

print(
    json.dumps(
        {
            "answer": answer.data.result,
            "again": again.data.result,
            "direction": call.direction,
            "client_state": answered.client_state,
            "is_alive": status.data.is_alive,
            "hangup_cause": hangup.hangup_cause,
            "hangup_source": hangup.hangup_source,
            "late_error": late_error,
            "wrong_key": wrong_key,
            "outgoing": outgoing.direction,
            "same_leg": outgoing.call_control_id == dialled.data.call_control_id,
            "events": seen,
            "forged_refused": forged_refused,
        }
    )
)
