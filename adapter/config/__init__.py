"""The configuration: read, checked, merged."""
