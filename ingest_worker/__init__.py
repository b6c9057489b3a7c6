"""Kafka to PostgreSQL, exactly once.

The path of a batch: `loop.worker` runs the loop, `loop.source` fetches records that
`loop.admission` believes, `write.batch` decodes them, `loop.writing` has them written, and
`write.sink` stores them and moves the positions in one transaction.
"""
