"""Training: options, the loop, its runs on disk and what it minimises."""
