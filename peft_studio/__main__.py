"""``python -m peft_studio``: the same as ``peft-studio``."""

from peft_studio.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
