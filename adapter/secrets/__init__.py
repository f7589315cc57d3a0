"""Which settings are secrets, and how known secrets are taken out of what is shown."""
