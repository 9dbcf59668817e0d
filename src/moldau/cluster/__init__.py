"""Brokers together: who lives, who is named as leader of what, leases, and what brokers tell each other."""
