"""``python -m dcmdask``."""

from dcmdask.cli.main import main

if __name__ == "__main__":
    main()
