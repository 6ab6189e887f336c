"""Change the language of a call half-way through."""

from bridge import Call


def answer(call: Call) -> None:
    """Ask in English, go on in the caller's language."""
    choice = call.ask("English, or German?")
    if "german" in choice.text.lower():
        call.language, call.voice = "de-DE", "Telnyx.NaturalHD.astra"
        call.say("Guten Tag. Was kann ich tun?")
    call.listen(timeout=5)
