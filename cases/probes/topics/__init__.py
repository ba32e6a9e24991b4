"""The probes, a module for each topic."""
