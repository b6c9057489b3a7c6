"""The limits of a stack, in a module of their own: the command line loads no service for them."""

DEFAULT_PARTITIONS = 6
MOST_BROKERS = 9
