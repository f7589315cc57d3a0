"""The command ``adapter``: one module per command group; parse, call the library, render."""
