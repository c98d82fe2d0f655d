"""Is this machine ready to run the flows? Small checks, each with its cure; none changes anything that stays."""
