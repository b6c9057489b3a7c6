"""Arrays of readings: complete, in order, bounded, and in the partition Kafka itself would pick."""

import json

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from api import kafka_records as packing
from api.kafka_records import RecordBuilder, partition_of


@given(st.text(min_size=1, max_size=64), st.integers(1, 50))
def test_a_device_goes_where_its_key_would(device_id: str, count: int) -> None:
    partitions = list(range(count))
    by_key = DefaultPartitioner()(device_id.encode(), partitions, [])
    assert partition_of(device_id, partitions) == by_key


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200)), max_size=60))
def test_arrays_hold_everything_in_order_and_stay_small(readings: list[tuple[int, int]]) -> None:
    limit = 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MAX_RECORD_BYTES", limit)
        builder = RecordBuilder()
        for number, (partition, size) in enumerate(readings):
            builder.add("t", partition, json.dumps([number, "x" * size]).encode())
        records = builder.records()
    unpacked = [(r.partition, item) for r in records for item in json.loads(r.value)]
    assert sum(r.readings for r in records) == len(readings) == len(unpacked)
    assert all(len(r.value) <= limit for r in records)
    for wanted in range(3):
        numbers = [item[0] for partition, item in unpacked if partition == wanted]
        assert numbers == [n for n, (partition, _) in enumerate(readings) if partition == wanted]
