"""What the benchmarks raise beside the errors of the libraries they use.

Exception
    BenchError
"""


class BenchError(Exception):
    """A measurement that failed or whose result is wrong; the text says why."""
