"""``python -m ferroconv`` is the command `ferroconv`."""

from ferroconv.cli import main

if __name__ == "__main__":
    main()
