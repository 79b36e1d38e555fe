"""The package's programs, compiled for accelerators that this machine does not have."""
