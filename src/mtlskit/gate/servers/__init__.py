"""Adapters to the servers: each installs the gate's TLS context and passes the connection's evidence to the app."""
