"""Kafka's brokers: how every process connects to them, and what they know of topics and groups."""
