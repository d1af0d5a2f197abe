"""Anything at all as certificate, list, response or PEM: our own errors come out, and nothing else."""
