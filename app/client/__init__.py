"""Coregister seen from outside: sends files to a running server and compares what it answers."""
