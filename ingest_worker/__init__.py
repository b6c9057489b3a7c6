"""Kafka to PostgreSQL, exactly once.

The path of a batch: `worker` runs the loop, `source` fetches records that `admission` believes,
`batch` decodes them, `sink` writes them and moves the positions in one transaction.
"""
