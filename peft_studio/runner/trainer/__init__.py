"""The only code that imports torch: load, adapt, train, checkpoint, evaluate, export, chat."""
