"""From a source to a dataset version: open, read, clean, split."""
