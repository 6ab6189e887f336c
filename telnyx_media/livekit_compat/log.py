"""The plugin's own logger; counts, codes and ids go there, never what was said."""

import logging

logger = logging.getLogger("livekit.plugins.telnyx_threads")
