"""The sample database: an education and commerce product whose tables all live in ``public``."""

from tests.sample.loader import DEFAULT_PASSWORD, LOGIN_ROLES, SampleExists, SampleSummary, load

__all__ = ["DEFAULT_PASSWORD", "LOGIN_ROLES", "SampleExists", "SampleSummary", "load"]
