"""One question and its answer, for the command."""
