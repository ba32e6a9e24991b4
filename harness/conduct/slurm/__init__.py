"""Runs as jobs on the nodes of a cluster: a job for each round, on one node, that is followed from the login node."""
