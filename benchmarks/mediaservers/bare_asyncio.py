"""The least that asyncio can do: websockets' own server, the same parsing and sending back."""

import asyncio
import base64
import http
import json
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PORT = int(sys.argv[1])


def answer(connection, request):
    """Say where the streams are; leave those to be opened."""
    parts = urlsplit(request.path)
    if parts.path == "/media":
        return None
    count = int(parse_qs(parts.query).get("count", ["0"])[0])
    legs = [[f"leg-{i}", f"ws://127.0.0.1:{PORT}/media"] for i in range(count)]
    return connection.respond(http.HTTPStatus.OK, json.dumps(legs))


async def media(ws):
    """Send back what comes."""
    try:
        async for message in ws:
            frame = json.loads(message)
            if frame["event"] == "media":
                payload = base64.b64decode(frame["media"]["payload"])
                back = {"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}
                await ws.send(json.dumps(back))
    except ConnectionClosed:
        pass


async def main():
    """Serve until it is ended."""
    async with serve(media, "127.0.0.1", PORT, process_request=answer, compression=None):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
