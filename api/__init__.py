"""The HTTP API: telemetry in through Kafka; devices, sessions and figures out of PostgreSQL."""
