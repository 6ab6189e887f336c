"""How a conversation feels, measured: calls with real audio through the whole stack.

``make conversation`` prints the table; see docs/turn-taking.md.
"""
