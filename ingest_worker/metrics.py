"""Every metric of a worker, each with its unit and what it tells."""

from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram, Info, Metric

from reporting.version import version
from schemas.rejected import COUNTED_REASONS

FLUSH_CAUSES = ("full", "interval", "caught_up")
TAKEOVER_CAUSES = (
    "rebalance",
    "doubt",
    "FencedError",
    "InDoubtError",
    "KeptOutError",
    "LostPositionError",
    "KafkaTimeoutError",
    "OperationalError",
)
"""Those that are known beforehand; any other error is counted by its name."""
SIDE_TASKS = ("housekeeping", "positions", "kafka", "claims", "topics", "acknowledge")
NO_CONNECTION = "none"
"""Instead of the SQLSTATE of an error that has none."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
READINGS = (1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


class KnownGauge(Gauge):
    """A gauge that is exported only while its value is known here: a 0 would be believed."""

    _known = False

    def set(self, value: float) -> None:
        """Set the value; it is exported from here on."""
        super().set(value)
        self._known = True

    def forget(self) -> None:
        """Export nothing until the value is set again."""
        self._known = False

    def collect(self) -> Iterable[Metric]:
        """What is exported."""
        return super().collect() if self._known else ()


READINGS_TOTAL = Counter(
    "energy_ingest_readings_total",
    "Readings by what became of them; outcome is stored, duplicate or a reason of rejection.",
    ["topic", "outcome"],
)
REPAIRED = Counter(
    "energy_ingest_repaired_total",
    "Of the stored and the duplicates, those taken without a value that was wrong.",
    ["topic"],
)
FLUSHES = Counter(
    "energy_ingest_flushes_total",
    "Flushes by cause: full, interval or caught_up.",
    ["cause"],
)
FLUSH_SECONDS = Histogram(
    "energy_ingest_flush_seconds",
    "Duration of one flush, from its start to its commit.",
    buckets=SECONDS,
)
COMMIT_SECONDS = Histogram(
    "energy_ingest_commit_seconds",
    "Duration of the COMMIT that ends a flush.",
    buckets=SECONDS,
)
FLUSH_READINGS = Histogram(
    "energy_ingest_flush_readings", "Readings in one flush.", buckets=READINGS
)
AGE_SECONDS = Histogram(
    "energy_ingest_record_age_seconds",
    "Age of the oldest record of each partition's share at its commit, by Kafka's time.",
    ["topic"],
    buckets=SECONDS,
)
LAG = Gauge(
    "energy_ingest_lag_records",
    "Records in Kafka that are not committed to PostgreSQL yet.",
    ["topic", "partition"],
)
LAG_UPDATED = Gauge(
    "energy_ingest_lag_updated_timestamp_seconds",
    "When Kafka last said how far its logs reach; the lag is left out while it does not answer.",
)
POSITION = Gauge(
    "energy_ingest_position",
    "Next offset to read, as committed to PostgreSQL.",
    ["topic", "partition"],
)
HELD = Gauge(
    "energy_ingest_partition_held",
    "1 while this worker reads the partition, 0 while it is stopped for an operator.",
    ["topic", "partition"],
)
RETRIES = Counter(
    "energy_ingest_retries_total",
    "Flushes tried again, by SQLSTATE; none = the connection was gone.",
    ["sqlstate"],
)
FENCED = Counter(
    "energy_ingest_fenced_total",
    "Batches dropped since another owner had moved a position.",
)
TAKEOVERS = Counter(
    "energy_ingest_takeovers_total",
    "Times the positions were read anew, by cause.",
    ["cause"],
)
GAPS = Counter(
    "energy_ingest_gap_offsets_total",
    "Offsets that the log itself does not hold: transaction markers, aborted or compacted records.",
    ["topic"],
)
QUARANTINE_BYTES = Gauge(
    "energy_ingest_quarantine_bytes",
    "Size on disk of rejected_records, as of the last rejection or takeover.",
)
REJECTED_WITHOUT_RAW = Counter(
    "energy_ingest_rejected_without_raw_total",
    "Rejected readings kept without their bytes, since REJECTED_RAW_LIMIT_MB was reached.",
)
REJECTED_ONLY_COUNTED = Counter(
    "energy_ingest_rejected_only_counted_total",
    "Rejected readings that were only counted, since rejected_records had twice that size.",
)
ROLLUP_BACKLOG = KnownGauge(
    "energy_ingest_rollup_backlog_entries",
    "Changes the rollups have yet to take in; of the worker that does the housekeeping alone.",
)
ROLLUP_AGE_SECONDS = KnownGauge(
    "energy_ingest_rollup_age_seconds",
    "Age of the oldest of them: how far the fleet's figures are behind.",
)
HOUSEKEEPING_LAST_SUCCESS = Gauge(
    "energy_ingest_housekeeping_last_success_timestamp_seconds",
    "When any worker last did this duty of housekeeping without a problem.",
    ["duty"],
)
HOUSEKEEPING_FAILING = Gauge(
    "energy_ingest_housekeeping_failing",
    "1 while this duty of housekeeping fails, whichever worker does it.",
    ["duty"],
)
SIDE_TASK_FAILURES = Counter(
    "energy_ingest_side_task_failures_total",
    "Tasks beside the loop that died; all but a failed acknowledge end the process.",
    ["task"],
)
CERTIFICATE_EXPIRY = Gauge(
    "energy_ingest_client_certificate_expiry_timestamp_seconds",
    "When the certificate of this setting ends, which Kafka or PostgreSQL is shown.",
    ["setting"],
)
READY = Gauge("energy_ingest_ready", "1 while the worker is able to do its work.")
BUILD = Info("energy_ingest_build", "The version of this worker.")


def show_certificates(ends_at: Mapping[str, Callable[[], float]]) -> None:
    """Show when each setting's certificate ends, in Unix time, as of each scrape."""
    for setting, end in ends_at.items():
        CERTIFICATE_EXPIRY.labels(setting).set_function(end)


def begin_at_zero(topics: Collection[str]) -> None:
    """Show every count before there is anything to count: else its first increase is not seen.

    What is counted by partition begins when the partition is held.
    """
    BUILD.info({"version": version()})
    for topic in topics:
        for outcome in ("stored", "duplicate", *COUNTED_REASONS):
            READINGS_TOTAL.labels(topic, outcome)
        REPAIRED.labels(topic)
        AGE_SECONDS.labels(topic)
        GAPS.labels(topic)
    for counter, values in (
        (FLUSHES, FLUSH_CAUSES),
        (TAKEOVERS, TAKEOVER_CAUSES),
        (SIDE_TASK_FAILURES, SIDE_TASKS),
        (RETRIES, (NO_CONNECTION,)),
    ):
        for value in values:
            counter.labels(value)
