"""Derivative backends compared: error, time and memory."""
