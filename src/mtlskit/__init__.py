"""Mutual TLS for Python services: a gate per customer hostname, and client certificates bound by name."""
