"""The entries of the list of attacks, by weight: high, medium, low; harness.py runs them, gguf.py makes their files."""
