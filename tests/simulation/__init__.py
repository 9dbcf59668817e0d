"""A deterministic simulation: the real code of several brokers on one virtual clock, with stores that fail and brokers that pause and die.

One seed is one schedule. `world` is time and event loops, `stores` what stands between a broker and its stores, `log_run` brokers and producers that append,
`group_run` leases, shards and groups. `python -m tests.simulation` runs as many schedules as it can.
"""
