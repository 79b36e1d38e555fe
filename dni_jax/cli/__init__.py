"""The command line: ``dni ...``."""

from dni_jax.cli.main import main

__all__ = ["main"]
