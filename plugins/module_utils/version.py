"""The version of the collection; a test compares it with galaxy.yml."""

VERSION = "0.1.0"
