"""``python -m adapter`` is the command ``adapter``."""

from adapter.cli.main import main

if __name__ == "__main__":
    main()
