"""Meshes of declared domains, and the parts of their boundaries."""
