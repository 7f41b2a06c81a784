"""Tests on real servers: the playbooks as a user runs them, and the core where a matrix needs hundreds of cases."""
