"""Where the model errs: slices of the test part, clusters of mistakes, and labels that look wrong."""
