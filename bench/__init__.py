"""Figures of this broker beside Apache Kafka: ``python -m bench`` (``make bench``)."""
