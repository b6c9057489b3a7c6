"""Kafka's side: how every process reaches the brokers, and what can be asked of them."""
