"""Configurations that these tests begin with."""

from __future__ import annotations

FILE = """\
# mine

[[providers]]  # the first
name = "a"
base_url = "http://localhost:1/v1"
default_model = "m"

[models]
default = "a"  # kept

[[providers]]
name = "b"
base_url = "http://localhost:2/v1"

[plugin.litellm.providers.b]
timeout = 3

[theirs]
x = 1
"""

P = '[[providers]]\nname = "p"\nbase_url = "http://localhost"\n'
KEYRING = "[plugin.litellm.providers.p]\napi_key_keyring = true\n"
