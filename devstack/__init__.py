"""Development services: a real Kafka and a real PostgreSQL from packages, a fleet and a demo."""
