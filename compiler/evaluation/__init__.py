"""A trained run held against reference solutions."""
