"""Whether groups of rows are treated alike."""
