"""The HTTP API: it passes telemetry to Kafka, and answers from PostgreSQL."""
