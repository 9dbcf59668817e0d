"""Configuration: one table of keys, and the pure logic around it."""
