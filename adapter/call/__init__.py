"""What a model string means, and the call it makes."""
