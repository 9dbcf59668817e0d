"""Moldau: Apache Kafka as one Python package."""
