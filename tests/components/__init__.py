"""Graph tests: the real components under the unmodified SDK, no engine and no provider."""
