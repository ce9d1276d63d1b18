"""Which of librdkafka's properties hold secrets: their values are never shown, wherever a property is."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
# Passwords, keys, tokens and client secrets, whatever mechanism they belong to; sasl.oauthbearer.config
# and sasl.jaas.config hold secrets among other things.
_SECRET = re.compile(
    r"password|passphrase|secret|token(?!\.endpoint)|credential|private|\.pem$|ssl\.key$"
    r"|(oauthbearer|jaas)\.config|assertion\.jwt"
)


def is_secret(name: str) -> bool:
    """Whether a property's value must never be shown."""
    return bool(_SECRET.search(name))
