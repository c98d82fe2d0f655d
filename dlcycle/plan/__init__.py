"""Planning: what counts as success, written once and read by every gate."""
