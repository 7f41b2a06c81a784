"""Throwaway PostgreSQL servers and the sandbox built on them."""
