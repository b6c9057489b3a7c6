"""`python -m bench model`: what a fleet takes, and what that rests on. It needs no service."""

from pathlib import Path

from bench.errors import BenchError
from bench.model import ROLLUP_SHARE, Bill, Need, Plan, bills, limit, plan, rate_on_one_machine
from bench.model_figures import Figures, figures
from bench.options import OUT
from bench.report import Parts, load
from reporting.command import Parser, fail

WORKER_CONNECTIONS, API_CONNECTIONS = 6, 27
"""At most, with the default DB_POOL_SIZE: docs/operations.md."""


def main(arguments: list[str]) -> int:
    """Print the table; return the exit status."""
    parser = Parser(prog="python -m bench model", description=__doc__)
    add = parser.add_argument
    add("--devices", type=int, required=True, metavar="N", help="meters and vehicles together")
    add("--interval", type=float, required=True, metavar="S", help="seconds between two readings")
    add(
        "--results",
        type=Path,
        default=OUT / "bench.json",
        metavar="FILE",
        help=f"measured figures ({OUT}/bench.json; without it those of bench/model.toml)",
    )
    add("--figures", type=Path, metavar="FILE", help="figures and prices of your own, `name = N`")
    given = parser.parse_args(arguments)
    parts = load(given.results)
    try:
        known = figures(parts, given.figures)
        found = plan(given.devices, given.interval, known)
    except BenchError as error:
        fail(error)
        return 1
    lines = [*needed(found, known), "", *costs(bills(found, known)), "", *rests_on(known)]
    print("\n".join(lines + checked(parts)))
    return 0


def needed(found: Plan, known: Figures) -> list[str]:
    """The numbers, each with what decides it."""
    standby = known["copies"].value > 1
    connections = found.worker_count * WORKER_CONNECTIONS
    connections += int(known["api_processes"].value) * API_CONNECTIONS
    lines = [
        _row("readings a second", _short(found.rate), "devices / interval"),
        _row("workers", str(found.worker_count), _why(found.workers, at_least=found.worker_count)),
        _row("partitions a topic", str(found.partitions), "two a worker, a multiple of six"),
        _row("brokers", str(found.broker_count), _why(found.brokers, at_least=found.broker_count)),
        _row("nodes with readings", str(found.node_count), _why(found.nodes, at_least=1)),
    ]
    if found.coordinators:
        text = f"{_short(found.coordinator_cores)} cores of coordinator, one a cluster"
        lines.append(_row("coordinators", str(found.coordinators), text))
    if found.clusters > 1:
        text = "one coordinator is not enough: so many fleets side by side, docs/tenants.md"
        lines.append(_row("clusters", str(found.clusters), text))
    each = found.node_count
    return [
        f"{'':<22}{'':>12}  decided by",
        *lines,
        _row("standbys", str(each + found.coordinators if standby else 0), "copies"),
        _row("connections", str(connections), "of all workers and API processes, at most"),
        _row("rollups, cores", _short(found.rollup_cores), _rollups(found)),
        _row("WAL, MB/s", _short(found.wal_mb_s), f"{_short(found.wal_mb_s / each)} a node"),
        _row(
            "written, MB/s",
            _short(found.written_mb_s),
            f"{_short(found.written_mb_s / each)} a node",
        ),
        _row(
            "history, TB", _short(found.disk_tb), f"{_short(found.day_tb)} TB a day, retention_days"
        ),
        _row("Kafka, TB", _short(found.kafka_tb), "record_bytes, kafka_hours, replication"),
    ]


def costs(found: list[Bill]) -> list[str]:
    """What it costs a month."""
    head = f"{'a month, each with':<22}{'machines':>12}{'cores':>8}{'GB':>8}{'TB':>8}{'cost':>12}"
    rows = [
        f"{bill.what:<22}{bill.machines:>12}{bill.each.core:>8g}{bill.each.memory_gb:>8g}{bill.each.disk_tb:>8g}"
        f"{bill.cost:>12,.0f}"
        for bill in found
    ]
    total = sum(bill.cost for bill in found)
    unpriced = [] if total else ["no prices given: price_core, price_memory_gb, price_disk_tb"]
    return [head, *rows, f"{'together':<22}{total:>48,.0f}", *unpriced]


def rests_on(known: Figures) -> list[str]:
    """Every figure, with where it comes from."""
    return [
        f"{'figure':<18}{'':>10}",
        *(
            f"{name:<18}{figure.value:>10,g}  {figure.unit} ({figure.source})"
            for name, figure in known.items()
        ),
    ]


def checked(parts: Parts) -> list[str]:
    """What the model makes of one worker's CPU, beside what so many workers were measured at."""
    rows = []
    for part in ("scale", "nodes"):
        medians = parts.get(part, {}).get("median", {})
        for name, found in medians.items():
            one = next(other for other in medians.values() if _compares(other, found))
            if "worker_cpu_us" not in one:  # of an older release
                continue
            used = (one["worker_cpu_us"], one["postgres_cpu_us"], one["kafka_cpu_us"])
            cores = parts[part]["machine"]["cores"]
            workers = int(found["workers"])
            rate = rate_on_one_machine(workers, cores, worker_us=used[0], all_us=sum(used))
            seen = found["readings_s"]
            rows.append(f"{f'{part}: {name}':<30}{rate:>12,.0f}{seen:>12,.0f}{seen / rate:>8.2f}")
    if not rows:
        return []
    head = f"{'readings/s, on one machine':<30}{'modelled':>12}{'measured':>12}{'ratio':>8}"
    note = "All of it on one machine: there nodes cost what they cost, and bring nothing."
    return ["", head, *rows, note]


def _compares(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether the first is the same with one worker; of an older release, anything."""
    same = one.get("nodes", 0) == other.get("nodes", 0)
    return "workers" not in one or (one["workers"] == 1 and same)


def _row(what: str, number: str, why: str) -> str:
    return f"{what:<22}{number:>12}  {why}"


def _rollups(found: Plan) -> str:
    text = f"of the {ROLLUP_SHARE:.2f} that housekeeping takes at most"
    return text if found.rollup_cores <= ROLLUP_SHARE else f"{text}: figures of many fall behind"


def _why(needs: list[Need], *, at_least: int) -> str:
    most = limit(needs)
    others = ", ".join(f"{need.resource} {_short(need.machines)}" for need in needs)
    named = f"{most.resource}: {most.why}" if most.machines > 1 else f"at least {at_least}"
    return f"{named} ({others})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
