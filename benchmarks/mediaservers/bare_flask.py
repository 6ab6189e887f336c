"""The least that a threaded server can do: flask-sock parses, decodes, encodes and sends back."""

import base64
import json

from flask import Flask, jsonify, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.get("/bench/legs")
def legs():
    """Say where the streams are."""
    base = request.host_url.replace("http", "ws", 1)
    return jsonify([[f"leg-{i}", f"{base}media"] for i in range(int(request.args["count"]))])


@sock.route("/media")
def media(ws):
    """Send back what comes."""
    while True:
        frame = json.loads(ws.receive())
        if frame["event"] == "media":
            payload = base64.b64decode(frame["media"]["payload"])
            back = {"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}
            ws.send(json.dumps(back))
