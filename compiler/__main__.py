"""`python -m compiler` is the `pdespec` command."""

from compiler.cli import main

main()
