"""Get ``audioop`` wherever it lives, without the standard library's warning that it will go.

It is a part of Python up to 3.12, deprecated from 3.11 on; from 3.13 on the package audioop-lts
provides it under the same name.  Everybody else imports it from here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["audioop"]
