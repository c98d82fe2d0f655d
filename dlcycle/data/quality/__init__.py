"""The quality of a data set: six pillars, each a file of checks, graded and turned into findings."""
