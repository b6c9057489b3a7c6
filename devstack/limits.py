"""What can be asked of a stack; apart, so that the command line need not load the services."""

DEFAULT_PARTITIONS = 6
MOST_BROKERS = 9
