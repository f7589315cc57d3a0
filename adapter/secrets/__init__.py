"""Which settings are secrets, and how known secrets are removed from what is shown."""
