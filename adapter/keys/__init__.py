"""Where a provider's key comes from."""
