"""The command line: ``dni ...``."""

from dni_jax.app.cli._main import main

__all__ = ["main"]
