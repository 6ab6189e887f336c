"""One module per pure module; no socket and no sleep."""
