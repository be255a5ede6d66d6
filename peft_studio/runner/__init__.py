"""The processes that do the work. Started as ``python -m peft_studio.runner …``; nothing imports this package."""
