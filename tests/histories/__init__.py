"""Histories of producers and consumers while brokers and stores fail, and the check that nothing acknowledged is lost.

The idea, and most names of anomalies, are those of Jepsen's workload for Kafka (jepsen.tests.kafka, Kingsbury, 2022). Parts: `history` (what was done
and answered), `checks` (pure: what must not be), `faults` (what is broken, and when), `workload` (who produces and consumes), `cli`.
"""
