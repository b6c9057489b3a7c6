"""What a worker says of partitions, and stops saying once they are no longer its own."""

from aiokafka import TopicPartition

from ingest_worker import metrics
from ingest_worker.health import Status
from ingest_worker.loop.takeover import forget_partitions

MINE, ANOTHERS = TopicPartition("let-go", 0), TopicPartition("let-go", 1)


def test_a_partition_that_went_elsewhere_is_no_longer_our_concern() -> None:
    status = Status()
    status.works("start")
    for partition in (MINE, ANOTHERS):
        status.waits(f"{partition.topic}-{partition.partition}", "stopped")
        for gauge in (metrics.HELD, metrics.LAG, metrics.POSITION):
            gauge.labels(*partition).set(1)
    forget_partitions(status, frozenset([ANOTHERS]))
    assert status.ready() == (False, {"reasons": {"let-go-0": "stopped"}})
    for gauge in (metrics.HELD, metrics.LAG, metrics.POSITION):
        labels = [sample.labels for metric in gauge.collect() for sample in metric.samples]
        assert {"topic": "let-go", "partition": "0"} in labels
        assert {"topic": "let-go", "partition": "1"} not in labels
