"""What ``adapter`` calls first: a query goes to the worker, all else runs in this process."""

from __future__ import annotations

import os
import sys

from adapter.cli import is_query

__all__ = ["main"]


def main() -> None:
    """Run the command of this process and exit."""
    uses_worker = sys.platform == "linux" and is_query(sys.argv[1:])
    if uses_worker:
        from adapter.worker import client

        try:
            code = client.query(sys.argv[1:])
        except KeyboardInterrupt:  # before the worker had taken the query
            os.write(2, b"\n")
            code = 130
        if code is not None:
            os._exit(code)  # nothing here needs the interpreter's end
    from adapter.cli.main import main as run

    try:
        run()
    finally:
        if uses_worker:
            from adapter.cli.worker import start_after_query

            start_after_query()
