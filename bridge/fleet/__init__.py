"""Several processes that serve one Telnyx application together, over Redis.

A webhook of a call and its media socket arrive at whichever process the host's router picks, and a
process may be told to stop or may die under a call.  So which leg lives where is kept in Redis, and
a leg changes hands by one atomic step there.

Nothing here is imported unless ``REDIS_URL`` is set.
"""
