"""``python -m telnyx_media`` is ``telnyx-media``."""

from __future__ import annotations

from telnyx_media.cli import main

if __name__ == "__main__":
    main()
