"""What to tell and what to do: the answer for a manager, and next steps ranked by what they are worth."""
