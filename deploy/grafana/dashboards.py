"""The dashboards: which panels stand on each, and what they ask Prometheus.

Processes of the API all say the same of a group: `max` over them. Rules that are asked for here
stand in deploy/prometheus/rules.
"""

from deploy.grafana.form import Board, Panel, Query

TOPIC = '{topic=~"$topic"}'
RUNBOOK = "What to do is in docs/runbook.md."


def _panel(title: str, unit: str, description: str, *queries: tuple[str, str]) -> Panel:
    return Panel(title, unit, description, tuple(Query(*query) for query in queries))


def _quantiles(metric: str, by: str = "le") -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"histogram_quantile({part}, sum by ({by}) (rate({metric}_bucket[5m])))", f"p{name}")
        for part, name in ((0.5, "50"), (0.99, "99"))
    )


PIPELINE = Board(
    "energy-pipeline",
    "Energy: the pipeline",
    "operators",
    {
        "Is all well": (
            _panel(
                "Readings by what became of them",
                "short",
                "Readings a second. Rejected ones are kept with the reason.",
                (
                    f"sum by (outcome) (rate(energy_ingest_readings_total{TOPIC}[5m]))",
                    "{{outcome}}",
                ),
            ),
            _panel(
                "Age of what waits",
                "s",
                f"How old the oldest record that is not stored may be. Over 300 s somebody is woken. {RUNBOOK}",
                (f"topic:energy_lag_seconds:max{TOPIC}", "{{topic}}"),
            ),
            _panel(
                "Lag",
                "short",
                "Records in Kafka that are not in PostgreSQL yet.",
                (f"topic:energy_lag_records:sum{TOPIC}", "{{topic}}"),
            ),
            _panel(
                "Workers",
                "none",
                "How many are ready, and how many run.",
                ("sum(energy_ingest_ready)", "ready"),
                ("job:energy_workers_up:sum", "running"),
            ),
        ),
        "Flushes": (
            _panel(
                "Duration of a flush",
                "s",
                "From its start to its commit.",
                *_quantiles("energy_ingest_flush_seconds"),
            ),
            _panel(
                "Duration of its COMMIT",
                "s",
                "Mostly PostgreSQL's disk.",
                *_quantiles("energy_ingest_commit_seconds"),
            ),
            _panel(
                "Age of the oldest record at its commit",
                "s",
                "From Kafka's time to PostgreSQL.",
                *_quantiles("energy_ingest_record_age_seconds"),
            ),
            _panel(
                "Flushes by cause",
                "short",
                "full: the batch was; interval: it waited long enough; caught_up: nothing else waits.",
                ("sum by (cause) (rate(energy_ingest_flushes_total[5m]))", "{{cause}}"),
            ),
        ),
        "What goes wrong": (
            _panel(
                "Rejected readings",
                "short",
                f"A second, without conflicts, and conflicts. {RUNBOOK}",
                (f"topic:energy_ingest_rejected:rate15m{TOPIC}", "{{topic}}"),
                (f"topic:energy_ingest_conflicts:rate15m{TOPIC}", "{{topic}} conflicts"),
            ),
            _panel(
                "Disturbances",
                "short",
                "In 5 minutes: flushes tried again, batches that another owner had overtaken, positions read anew.",
                ("sum(increase(energy_ingest_retries_total[5m]))", "tried again"),
                ("sum(increase(energy_ingest_fenced_total[5m]))", "fenced"),
                (
                    "sum by (cause) (increase(energy_ingest_takeovers_total[5m]))",
                    "read anew: {{cause}}",
                ),
            ),
            _panel(
                "Housekeeping, last done",
                "s",
                f"Seconds since any worker did each duty. {RUNBOOK}",
                (
                    "time() - max by (duty) (energy_ingest_housekeeping_last_success_timestamp_seconds)",
                    "{{duty}}",
                ),
            ),
            _panel(
                "Rollups",
                "s",
                "How far the fleet's figures are behind.",
                ("max(energy_ingest_rollup_age_seconds)", "behind"),
            ),
        ),
        "Processes": (
            _panel(
                "Processor",
                "percentunit",
                "Of one core, by process.",
                ('rate(process_cpu_seconds_total{job=~"worker|api"}[5m])', "{{job}} {{instance}}"),
            ),
            _panel(
                "Memory",
                "bytes",
                "Resident, by process.",
                ('process_resident_memory_bytes{job=~"worker|api"}', "{{job}} {{instance}}"),
            ),
        ),
    },
    ("topic of energy_ingest_readings_total",),
)
PARTITIONS = Board(
    "energy-partitions",
    "Energy: topics and partitions",
    "operators",
    {
        "Each partition": (
            _panel(
                "Lag",
                "short",
                "Records that wait.",
                (f"topic_partition:energy_lag_records:max{TOPIC}", "{{topic}}-{{partition}}"),
            ),
            _panel(
                "Read",
                "short",
                "Records a second, by the positions.",
                (
                    f"sum by (topic, partition) (rate(energy_ingest_position{TOPIC}[5m]))",
                    "{{topic}}-{{partition}}",
                ),
            ),
            _panel(
                "Held",
                "none",
                f"1: read by a worker; 0: stopped, an operator must decide. {RUNBOOK}",
                (
                    f"min by (topic, partition) (energy_ingest_partition_held{TOPIC})",
                    "{{topic}}-{{partition}}",
                ),
            ),
            _panel(
                "Age of what waits",
                "s",
                "At most, by Kafka's time.",
                (
                    f"max by (topic, partition) (energy_api_lag_seconds{TOPIC})",
                    "{{topic}}-{{partition}}",
                ),
            ),
        ),
        "The books": (
            _panel(
                "Readings in the books",
                "short",
                "All there are.",
                (f"max by (topic, outcome) (energy_api_readings{TOPIC})", "{{topic}} {{outcome}}"),
            ),
            _panel(
                "Unbalanced",
                "short",
                f"Read less stored, duplicate and rejected: always 0. {RUNBOOK}",
                (f"max by (topic) (energy_api_unbalanced_readings{TOPIC})", "{{topic}}"),
            ),
        ),
    },
    ("topic of energy_api_lag_records",),
)
POSTGRESQL = Board(
    "energy-postgresql",
    "Energy: PostgreSQL",
    "operators",
    {
        "The server": (
            _panel("Up", "none", "1: the exporter reaches it.", ("pg_up", "{{instance}}")),
            _panel(
                "Size",
                "bytes",
                "Of each database.",
                ('pg_database_size_bytes{datname!~"template.*"}', "{{datname}}"),
            ),
            _panel(
                "Transactions",
                "short",
                "A second.",
                (
                    'sum by (datname) (rate(pg_stat_database_xact_commit{datname!~"template.*"}[5m]))',
                    "{{datname}}",
                ),
            ),
            _panel(
                "Rows written",
                "short",
                "A second.",
                (
                    'sum by (datname) (rate(pg_stat_database_tup_inserted{datname!~"template.*"}[5m]))',
                    "{{datname}} inserted",
                ),
                (
                    'sum by (datname) (rate(pg_stat_database_tup_updated{datname!~"template.*"}[5m]))',
                    "{{datname}} updated",
                ),
            ),
            _panel(
                "Deadlocks and conflicts",
                "short",
                "In 5 minutes: 0.",
                (
                    'sum by (datname) (increase(pg_stat_database_deadlocks{datname!~"template.*"}[5m]))',
                    "{{datname}}",
                ),
            ),
            _panel(
                "Connections",
                "short",
                "By state.",
                ("sum by (state) (pg_stat_activity_count)", "{{state}}"),
            ),
        ),
        "Its machine": (
            _panel(
                "Room on disks",
                "percentunit",
                f"Free, of each file system. {RUNBOOK}",
                (
                    'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"}'
                    " / node_filesystem_size_bytes",
                    "{{instance}} {{mountpoint}}",
                ),
            ),
            _panel(
                "Processor",
                "percentunit",
                "Busy, of all cores.",
                (
                    '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
                    "{{instance}}",
                ),
            ),
        ),
    },
)
API = Board(
    "energy-api",
    "Energy: the API",
    "operators",
    {
        "Requests": (
            _panel(
                "Requests",
                "short",
                "A second, by status.",
                ("sum by (status) (rate(energy_api_requests_total[5m]))", "{{status}}"),
            ),
            _panel(
                "Time to the end of an answer",
                "s",
                "All routes.",
                *_quantiles("energy_api_request_seconds"),
            ),
            _panel(
                "Slowest routes",
                "s",
                "p99, the five slowest.",
                (
                    "topk(5, histogram_quantile(0.99, sum by (le, route)"
                    " (rate(energy_api_request_seconds_bucket[5m]))))",
                    "{{route}}",
                ),
            ),
            _panel(
                "Connections to PostgreSQL",
                "short",
                "Of the pools, and requests that wait for one.",
                ("sum by (state) (energy_api_database_connections)", "{{state}}"),
                ("sum(energy_api_database_requests_waiting)", "requests waiting"),
            ),
        ),
        "Who is let in": (
            _panel(
                "Refused keys",
                "short",
                "In 5 minutes, by reason.",
                ("sum by (reason) (increase(energy_api_refused_keys_total[5m]))", "{{reason}}"),
            ),
            _panel(
                "Limited requests",
                "short",
                "Answered with 429 in 5 minutes.",
                (
                    "sum by (role, limit) (increase(energy_api_limited_requests_total[5m]))",
                    "{{role}} {{limit}}",
                ),
            ),
        ),
        "What it passes on": (
            _panel(
                "Readings given to Kafka",
                "short",
                "A second.",
                (
                    "sum by (topic, outcome) (rate(energy_api_produced_readings_total[5m]))",
                    "{{topic}} {{outcome}}",
                ),
            ),
            _panel(
                "Readings not accepted",
                "short",
                "Over HTTP, a second, by reason.",
                ("sum by (reason) (rate(energy_api_refused_readings_total[5m]))", "{{reason}}"),
            ),
            _panel(
                "Services that answer",
                "none",
                f"1: within 3 s. {RUNBOOK}",
                ("max by (source) (energy_api_answers)", "{{source}}"),
            ),
        ),
    },
)
FLEET = Board(
    "energy-fleet",
    "Energy: the fleet",
    "analysts",
    {
        "What comes in": (
            _panel(
                "Stored readings",
                "short",
                "A second, by topic.",
                (
                    'sum by (topic) (rate(energy_ingest_readings_total{topic=~"$topic", outcome="stored"}[5m]))',
                    "{{topic}}",
                ),
            ),
            _panel(
                "How far the figures are behind",
                "s",
                "Readings that wait, and the fleet's sums.",
                (f"topic:energy_lag_seconds:max{TOPIC}", "{{topic}}"),
                ("max(energy_ingest_rollup_age_seconds)", "the fleet's sums"),
            ),
        ),
        "What is amiss": (
            _panel(
                "Open alerts",
                "none",
                "Certain ones that are not resolved: docs/alerts.md.",
                ("max by (code) (energy_alerts_open)", "{{code}}"),
            ),
            _panel(
                "Share of rejected readings",
                "percentunit",
                "Of what came in 15 minutes.",
                (
                    f"topic:energy_ingest_rejected:rate15m{TOPIC}"
                    f" / topic:energy_ingest_readings:rate15m{TOPIC}",
                    "{{topic}}",
                ),
            ),
        ),
    },
    ("topic of energy_ingest_readings_total",),
)
DASHBOARDS = (PIPELINE, PARTITIONS, POSTGRESQL, API, FLEET)
