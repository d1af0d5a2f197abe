"""`mtlskit demo`: a SaaS provider in small, on loopback, with real servers, real clients and real refusals.

`scenario` makes the state, `server` serves it, `client` is the peer that tries, `attempts` is the list of what is
tried, `run` tries it and judges, `command` prints.
"""
