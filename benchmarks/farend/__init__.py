"""Telnyx as one cheap process: callers, call control, and speech services that answer at once.

One thread and one epoll hold a few hundred calls on a part of a core, so that what is measured is
the application.  Knows applications only over the wire, as Telnyx does.
"""
