"""Talk on two calls in one function, then connect them."""

from bridge import Call


def answer(call: Call) -> None:
    """Fetch the driver, tell them where to go, and let them talk to the customer."""
    driver = call.dial("+12025550143", timeout=20)
    driver.say("Your customer is on the line.")
    call.say("Here is your driver.")
    call.connect(driver)
