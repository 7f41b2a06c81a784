"""Tests, and what they stand on: throwaway servers, a sample database, traffic."""
