"""Writes `moldau.protocol`'s generated modules from the definitions inside the kafka-clients jar."""
