"""Use what Telnyx has and the bridge does not: any command, any event."""

from bridge import Call


def answer(call: Call) -> None:
    """Have Telnyx record the call, and learn where the file is."""
    call.command("record_start", channels="dual", format="wav")
    call.say("Telnyx records this.")
    call.command("record_stop")
    saved = call.wait_for_event("call.recording.saved", timeout=10)
    call.say("It is saved." if saved is not None else "It is not saved yet.")
