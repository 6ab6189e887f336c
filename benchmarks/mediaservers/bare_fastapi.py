"""The least that an asyncio server can do: the same with FastAPI on uvicorn."""

import base64
import json

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.get("/bench/legs")
async def legs(request: Request, count: int):
    """Say where the streams are."""
    base = str(request.base_url).replace("http", "ws", 1)
    return [[f"leg-{i}", f"{base}media"] for i in range(count)]


@app.websocket("/media")
async def media(ws: WebSocket):
    """Send back what comes."""
    await ws.accept()
    try:
        while True:
            frame = json.loads(await ws.receive_text())
            if frame["event"] == "media":
                payload = base64.b64decode(frame["media"]["payload"])
                back = {"event": "media", "media": {"payload": base64.b64encode(payload).decode()}}
                await ws.send_text(json.dumps(back))
    except WebSocketDisconnect:
        pass
