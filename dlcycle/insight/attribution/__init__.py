"""Which words speak for and against a decision, and whether that can be believed."""
