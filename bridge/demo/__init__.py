"""One whole phone call on this machine: simulator on one side, the real app on the other.

The simulator runs in this process; the app is gunicorn, started as it is in production, in a child.
They meet over the network only.  What is shown and judged is what the *simulated network* saw:
packets, times and audio at the caller's ear; the app's own view is beside it, for the words.
"""
