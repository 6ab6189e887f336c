"""How many calls at once the user's own agent holds on the user's own machine.

The app runs as it would be deployed, in a process of its own; this process is Telnyx and the
callers.  Calls are added step by step, and each step is measured from outside: what the process
costs, how long callers wait for an answer, and whether what they hear has gaps.
"""
