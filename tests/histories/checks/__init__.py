"""Pure checks: a history's logs go in, anomalies come out. One file for each kind of promise."""
