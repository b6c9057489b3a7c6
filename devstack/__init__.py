"""A real Kafka and a real PostgreSQL from packages: for development, tests and the demo."""
