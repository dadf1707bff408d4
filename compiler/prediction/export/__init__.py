"""A trained operator as a program that runs without this project."""
