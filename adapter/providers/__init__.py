"""Adding, removing, testing providers, and listing their models."""
