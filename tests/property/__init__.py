"""Generated schemas and placements on real servers, held against laws; see `laws.py`."""
