"""Walk through another company's menu: press keys, with pauses between them."""

from bridge import Call


def answer(call: Call) -> None:
    """Press one, wait a second, enter the account number."""
    call.listen(timeout=10)
    call.send_digits("1W4711#")
    call.say("Hello, I am calling about an invoice.")
