"""What decisions cost, and who should make which: the model or people."""
