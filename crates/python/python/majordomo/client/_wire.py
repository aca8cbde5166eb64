"""The answers of the server as types, member by member as the interface describes them.

Owns names and which members are always there. They are plain dictionaries: members that a newer server adds stay in
them. Spans are in milliseconds (``_ms``), memory in bytes, ``time`` in seconds since 1970. Words such as ``state`` are
strings, since a newer server may have others. The type checker and the check of answers read the same declarations.
"""

# Without `from __future__ import annotations`: the check of answers reads the annotations.
from typing import Any, NotRequired, TypedDict


class Holder(TypedDict):
    """Who is in the way, and why it stays."""

    component: str
    booked: int
    kind: str
    leases: NotRequired[int]
    tags: NotRequired[list[str]]
    tags_left_out: NotRequired[int]


class Info(TypedDict):
    """Who answers."""

    version: str
    api: str
    pid: int
    uptime_ms: float
    state_dir: str


class Health(TypedDict):
    """All is well."""

    status: str


class Endpoint(TypedDict):
    """Where a program, or a service that runs elsewhere, is reached."""

    host: NotRequired[str]
    port: NotRequired[int]
    socket: NotRequired[str]
    url: NotRequired[str]


class ProbeFailing(TypedDict):
    """Health probes that fail while clients hold leases, so that the component stays up."""

    for_ms: float
    failures: int
    error: str


class DeclaredMemory(TypedDict):
    """Memory of a component in a pool besides its own, which is not measured."""

    pool: str
    declared: int
    booked: int


class LoadStage(TypedDict):
    """A stage of a component's loads: spawn, wake, first_output, port_open, ready or warm_up. Later versions may
    have others.
    """

    stage: str
    learned_ms: float
    last_ms: NotRequired[float]


class Parks(TypedDict):
    """Parks of one component."""

    why_not: NotRequired[str]
    swapped: int
    parks: int
    wakes: int
    wake_median_ms: NotRequired[float]


class Component(TypedDict):
    """One component."""

    name: str
    state: str
    for_ms: float
    cause: str
    priority: str
    pool: str
    pinned: bool
    speculative: bool
    stale: bool
    booked: int
    apart: NotRequired[list[DeclaredMemory]]
    estimate: int
    leases: int
    uses: int
    loads: int
    failures: int
    retry_in_ms: NotRequired[float]
    retry_on_demand: NotRequired[bool]
    measured: NotRequired[int]
    peak: NotRequired[int]
    load_peak: NotRequired[int]
    working_peak: NotRequired[int]
    load_need: NotRequired[int]
    settled_need: NotRequired[int]
    idle_ms: NotRequired[float]
    load_time_ms: NotRequired[float]
    load_stages: NotRequired[list[LoadStage]]
    shared: int
    limit: NotRequired[int]
    probe_failing: NotRequired[ProbeFailing]
    pid: NotRequired[int]
    endpoint: NotRequired[Endpoint]
    parking: NotRequired[Parks]


class Pool(TypedDict):
    """One pool."""

    name: str
    booked: int
    declared: bool
    budget: NotRequired[int]


class Overdraft(TypedDict):
    """Bytes booked or taken beyond the plan."""

    total: int
    growth: int
    load: NotRequired[int]
    config: int
    external: int
    unreturned: int


class Bound(TypedDict):
    """One bound on the memory that can be had."""

    name: str
    used: int
    limit: NotRequired[int]


class PressureRecord(TypedDict):
    """A change of the level of pressure, or the failure or recovery of a source."""

    ago_ms: float
    level: str
    available: int
    event: str


class Felt(TypedDict):
    """Where pressure is felt, and what was felt lately."""

    source: str
    failing: bool
    limit: int
    available: int
    thresholds: list[int]
    bounds: list[Bound]
    means: list[str]
    readings: int
    history: list[PressureRecord]
    hint: NotRequired[str]


class Cold(TypedDict):
    """Snapshots of unloaded components."""

    budget: int
    used: int
    snapshots: int
    handed_back: int
    dropped: int
    corrupt: int


class Parking(TypedDict):
    """Parks of programs in swap."""

    means: NotRequired[str]
    why_not: NotRequired[str]
    swapped: int
    budget: int
    written: int
    writes_per_day: NotRequired[int]


class Memory(TypedDict):
    """Memory as a whole."""

    budget: int
    booked: int
    claimed: int
    overdraft: Overdraft
    pools: list[Pool]
    pressure: NotRequired[str]
    external: int
    unreturned: int
    own: NotRequired[int]
    felt: NotRequired[Felt]
    cold: Cold
    trims: int
    last_trim_ms: NotRequired[float]
    process_limits: str
    parking: NotRequired[Parking]


class LeaseHolder(TypedDict):
    """The holder of a lease on a component."""

    component: str
    tag: str
    age_ms: float
    old: bool
    revoked: NotRequired[bool]
    lease: NotRequired[str]


class Figure(TypedDict):
    """One figure of a section."""

    name: str
    value: Any
    unit: NotRequired[str]


class Status(TypedDict):
    """The status of the manager and its components."""

    server: Info
    ready: bool
    shutting_down: bool
    waiting: int
    memory: Memory
    components: list[Component]
    holders: list[LeaseHolder]
    holders_left_out: int
    leases: int
    sections: dict[str, list[Figure]]


class Event(TypedDict):
    """Something that happened; the members beside these depend on ``event``."""

    seq: int
    at_ms: float
    time: int
    event: str
    text: str
    component: NotRequired[str]
    components: NotRequired[list[str]]


class EventPage(TypedDict):
    """Events that are kept."""

    missed: int
    events: list[Event]
    next: int


class Why(TypedDict):
    """A component and the last events about it."""

    component: Component
    events: list[Event]


class LogLine(TypedDict):
    """One line of a component's output."""

    number: int
    time: int
    stream: str
    text: str
    cut: NotRequired[bool]
    cut_bytes: NotRequired[int]


class LogPage(TypedDict):
    """Lines of a component's output."""

    missed: int
    lines: list[LogLine]
    next: int


class Leased(TypedDict):
    """A leased component."""

    component: str
    revoked: bool
    ended: NotRequired[bool]
    reason: NotRequired[str]
    endpoint: NotRequired[Endpoint]


class Lease(TypedDict):
    """A lease."""

    id: str
    state: str
    components: list[Leased]
    bind: str
    tag: str
    age_ms: float
    old: bool
    pid: NotRequired[int]
    expires_in_ms: NotRequired[float]


class Answered(TypedDict):
    """The answer of a component."""

    component: str
    answer: Any
    took_ms: float


class Leases(TypedDict):
    """A page of the leases, oldest first."""

    leases: list[Lease]
    total: int
    components: int
    next: NotRequired[str]


class Evidence(TypedDict):
    """Why a component is thought to be needed."""

    keyword: str
    shared_by: int
    fit: NotRequired[str]
    negated: NotRequired[bool]


class NGram(TypedDict):
    """A part of a text that is evidence for a component."""

    text: str
    weight: float


class Need(TypedDict):
    """A component that a text needs, or may need."""

    component: str
    confidence: float
    threshold: float
    evidence: list[Evidence]
    n_grams: list[NGram]
    confirmed: NotRequired[float]


class Warning(TypedDict):
    """What is wrong or doubtful in a configuration."""

    severity: str
    code: str
    file: str
    message: str
    line: NotRequired[int]
    column: NotRequired[int]
    suggestion: NotRequired[str]


class ProblemMembers(TypedDict):
    """What went wrong (RFC 9457). ``code`` is stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry_after_s: NotRequired[int]
    holders: NotRequired[list[Holder]]
    holders_left_out: NotRequired[int]
    missing: NotRequired[list[str]]
    reason: NotRequired[str]
    problems: NotRequired[list[Warning]]


class LeftOut(TypedDict):
    """A component that a command needs and does not have, so that the others could be had."""

    component: str
    refusal: ProblemMembers


class CommandOutcome(TypedDict):
    """What became of a command."""

    needed: list[Need]
    candidates: list[Need]
    hit: bool
    ready_at_once: list[str]
    waited_ms: float
    components: list[Leased]
    refusal: NotRequired[ProblemMembers]
    left_out: NotRequired[list[LeftOut]]
    lease: NotRequired[Lease]


class Intents(TypedDict):
    """What a text is taken for."""

    decision: str
    needed: list[Need]
    candidates: list[Need]
    model_version: int


class PoolBytes(TypedDict):
    """Declared bytes of a pool besides the component's own."""

    pool: str
    bytes: int


_MayBeFrom = TypedDict("_MayBeFrom", {"from": NotRequired[str]})


class PlanLoad(_MayBeFrom):
    """A component that would be loaded."""

    component: str
    bytes: int
    settled: NotRequired[int]
    apart: NotRequired[list[PoolBytes]]
    beyond: NotRequired[int]
    load_time_ms: float
    wave: int
    under_way: bool


class PlanEviction(TypedDict):
    """A component that would go."""

    component: str
    to: NotRequired[str]
    bytes: int
    apart: NotRequired[list[PoolBytes]]
    conflict: bool


class Plan(TypedDict):
    """What a demand would meet with now."""

    decision: NotRequired[str]
    needed: list[Need]
    candidates: list[Need]
    ready: list[str]
    loads: list[PlanLoad]
    evictions: list[PlanEviction]
    in_the_way: list[str]
    wait_ms: float
    parking_ms: NotRequired[float]
    refusal: NotRequired[ProblemMembers]
    left_out: NotRequired[list[LeftOut]]


class Accepted(TypedDict):
    """False when its queue is full."""

    accepted: bool


class Figures(TypedDict):
    """What was measured of a component with one configuration on one machine."""

    component: str
    config: str
    host: str
    peak: NotRequired[int]
    load_peak: NotRequired[int]
    working_peak: NotRequired[int]
    load_time_ms: NotRequired[float]


class StoredValue(TypedDict):
    """A stored value, its bytes in hexadecimal."""

    namespace: str
    key: str
    value: str


class Remembered(TypedDict):
    """What is remembered over restarts."""

    figures: list[Figures]
    values: list[StoredValue]
    usage: NotRequired[str]
    problem: NotRequired[str]


class Forgotten(TypedDict):
    """How much was forgotten."""

    forgotten: int


_From = TypedDict("_From", {"from": Any})


class SettingChange(_From):
    """A setting that differs; sizes and spans are texts such as 256 MiB and 5 s."""

    name: str
    to: Any
    needs_restart: bool


class ComponentChange(TypedDict):
    """A component that is configured differently, is new, or is gone."""

    component: str
    change: str
    settings: list[SettingChange]
    effect: str


class Reloaded(TypedDict):
    """What a reload changed, or would change."""

    dry_run: bool
    added: list[str]
    removed: list[str]
    changed: list[str]
    components: list[ComponentChange]
    settings: list[SettingChange]
    warnings: list[Warning]


class Gap(TypedDict):
    """In a stream: what a follower missed. ``missed`` is None where the number is unknown."""

    event: str
    missed: int | None
    text: str
