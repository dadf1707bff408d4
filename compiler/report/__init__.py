"""The report of a run: its page, pictures and charts."""
