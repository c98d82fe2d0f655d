"""Training: batches, the Lightning module for classification, and one call that fits a network."""
