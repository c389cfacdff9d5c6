"""Every number of the mesh protocol: named, with its unit and where it comes from.

Protocol timers are divided by ``StationConfig.timer_divisor``; the numbers of hop ARQ, frame age
and duplicate horizons are not, because they follow the medium and not the protocol's pace.
"""

from typing import Final

# --- frame sizes (docs/mesh, section 1.2) -------------------------------------------------------

MTU_BYTES: Final = 255
"""Largest frame on air; there is no fragmentation."""
HEADER_BYTES: Final = 17
MIC_BYTES: Final = 8
MAX_BODY_BYTES: Final = MTU_BYTES - HEADER_BYTES - MIC_BYTES
MAX_PAYLOAD_BYTES: Final = 160
"""Largest single application payload, up or down."""
MAX_SOURCE_HOPS: Final = 32
"""Longest source route; wsbrd dropped its 24-hop cap after a memory bug."""
MAX_PARENTS: Final = 3
"""One preferred parent and two feasible backups."""
MAX_OUTAGE_IDS: Final = 32
"""Meters named by one outage or restoration report."""

BROADCAST: Final = 0xFFFFFFFF
"""Destination id of a frame for everyone in range."""
PROTOCOL_VERSION: Final = 1

# --- rank and link metric (RFC 6719, 128 = one transmission) ------------------------------------

ETX_ONE: Final = 128
ETX_MAX: Final = 1024
"""Ceiling of the estimate (wsrd)."""
INITIAL_ETX: Final = 256
MAX_LINK_METRIC: Final = 512
"""A link worse than ETX 4 is no parent link: RFC 6719 section 5."""
MAX_PATH_COST: Final = 32768
"""RFC 6719 section 5."""
MIN_HOP_RANK_INCREASE: Final = 128
ROOT_RANK: Final = 128
UNGROUNDED_RANK_PENALTY: Final = 1024
INFINITE_RANK: Final = 0xFFFF
PARENT_SWITCH_THRESHOLD: Final = 192
"""1.5 ETX of hysteresis: RFC 6719 section 5."""
ROOT_SWITCH_EXTRA: Final = 128
"""A change of root must gain this much on top: the registration it costs is not free."""
RANK_FALL_TELL: Final = 64
RANK_FALL_SPREAD_MS: Final = 30_000
"""A rank that fell by half a transmission is told once within this time; Trickle takes 17 min."""
RANK_RISE_RESET: Final = 512
"""Trickle restarts when our own rank rose by more (4 x MinHopRankIncrease, Contiki)."""
ETX_FAILURE_EXTRA: Final = 4
"""An exchange without acknowledgement counts as its attempts and these (8 + 4 = Contiki's 12)."""
YOUNG_SAMPLES: Final = 4
"""Up to here the estimate weighs a sample 1/4, afterwards 1/10 (Contiki link-stats)."""
RSSI_GOOD_DBM: Final = -101
RSSI_ETX_128THS: Final = (170, 243, 375)
"""First guess below RSSI_GOOD_DBM, a step a dB: ETX of 120 B frames and their acknowledgements on
a Wi-SUN class receiver (50 % of the frames pass at -103.8 dBm), over a spread of 1.4 dB between
the directions."""

# --- hop ARQ (not scaled) -----------------------------------------------------------------------

ARQ_ATTEMPTS: Final = 8
"""macMaxFrameRetries 7: Contiki and wsbrd."""
ACK_TIMEOUT_FLOOR_MS: Final = 50
"""A broker hop costs 1-5 ms and the gateway commits before it acknowledges."""
ACK_TIMEOUT_MS: Final = 250
"""The mean wait. Airtime, a commit and one frame waited out are 146 ms at 50 kbps; that little for
every transmission was measured to call busy neighbours dead in the crowd after a gateway's boot
(docs/adr/0009)."""
ACK_WAIT_PERCENT: Final = (50, 60, 75, 90, 110, 125, 140, 150)
"""What each transmission waits of the mean: a lost frame is repeated soon, a busy neighbour has as
long as ever (docs/adr/0070)."""
BACKOFF_SLOT_MS: Final = 4
BACKOFF_EXPONENT_MIN: Final = 3
BACKOFF_EXPONENT_MAX: Final = 5
PROBE_ATTEMPTS: Final = 4
LINK_DUPLICATE_MS: Final = 20_000
"""How long a repeated link frame still gets its acknowledgement again (Contiki mac-sequence)."""
REPLAY_WINDOW_FRAMES: Final = 64

# --- forwarding (not scaled) --------------------------------------------------------------------

HOP_LIMIT: Final = 64
FRAME_AGE_MAX_S: Final = 600
REG_AGE_MAX_S: Final = 30
"""A registration that waited longer is dropped on its way: its origin has sent another."""
DUPLICATE_HORIZON_MS: Final = 1_200_000
"""At least twice the age cap: Meshtastic #8790, history rolled over while the packet travelled."""
LOOP_MEMORY_MS: Final = 5_000
"""A frame that comes back is refused this long; afterwards the ways have changed, and whoever holds
it may have no other but by us."""
BUSY_PAUSE_MS: Final = 1_000
"""A neighbour that answered BUSY is left alone this long."""
CUSTODY_TIMEOUT_MS: Final = 30_000
"""A delivery the driver never answered is forgotten, unacknowledged."""
COMMAND_LIFETIME_MS: Final = 900_000
"""A command not accepted by then is given up: 15 min, the Indian AMI service level."""
COMMAND_REPORT_BASE_MS: Final = 4_000
COMMAND_REPORT_PER_HOP_MS: Final = 2_000
COMMAND_TRIES: Final = 8
"""Emissions of one command before it only waits for a sign of life."""

# --- Trickle (RFC 6206) -------------------------------------------------------------------------

TRICKLE_IMIN_MS: Final = 4_096
TRICKLE_DOUBLINGS: Final = 8
TRICKLE_K: Final = 8
TRICKLE_FAIRNESS_MAX: Final = 3
"""Trickle-F: at most this many suppressions move the sending slot forward."""
TRICKLE_RESET_GAP_MS: Final = 60_000
"""One cause restarts the timer at most this often."""

# --- formation, probing, repair -----------------------------------------------------------------

COLLECT_MIN_MS: Final = 2_000
COLLECT_MAX_MS: Final = 4_000
COLLECT_BOOT_MS: Final = 12_000
"""The same after a boot: where all are powered on together, their probes come in a wave."""
PROBE_BEST: Final = 5
"""Only the best five candidates are probed (wsrd); unbounded probing starves them all."""
PROBE_FIRST: Final = 3
"""So many are proven before the first parent is taken; the others later, at leisure."""
PROBE_RELAY_MS: Final = 180_000
"""Keep-alive of a node with children; what it relays proves its parent as well."""
PROBE_LEAF_MS: Final = 600_000
PROBE_YOUNG_MS: Final = 90_000
"""A candidate is asked this often until its link is known (Contiki probing) ..."""
PROBE_KNOWN_MS: Final = 3_600_000
"""... and this often afterwards."""
DOUBT_SPREAD_MS: Final = 30_000
"""A child of a gateway that hears another one lose it probes it within this; a gateway that is off
for a moment must not lose all its children at once."""
SOLICIT_MIN_MS: Final = 5_000
SOLICIT_MAX_MS: Final = 60_000
BETTER_PARENT_MS: Final = 600_000
"""A parent better by less than the threshold wins after this time (Contiki)."""
DENY_MIN_MS: Final = 60_000
DENY_MAX_MS: Final = 600_000
POISON_COUNT: Final = 3
POISON_GAP_MS: Final = 1_000
HOLD_DOWN_MS: Final = 4_000
"""Soliciting at once re-joins our own child: RIOT #2689."""
BOOT_SPREAD_MS: Final = 10_000
"""Who boots waits for a part of this: a feeder gets its power back in one moment."""
BOOT_POISON_COUNT: Final = 2
ADOPT_GRACE_MS: Final = 120_000
"""A newer sequence of our root is taken over this late at most; see feasibility.py."""
SEQ_REQUEST_GAP_MS: Final = 10_000
SEQ_BUMP_MS: Final = 1_050_000
RETRY_MS: Final = (5_000, 15_000, 45_000, 135_000)
"""Waits of a frame all parents refused, +-50 %."""
CHILD_LIFETIME_MS: Final = 2_400_000
"""A neighbour that sent upwards through us counts as child this long (two reports and a half)."""
NEIGHBOUR_LIFETIME_MS: Final = 7_200_000
HOUSEKEEPING_MS: Final = 600_000
"""What ripens sooner, such as the end of a denial, sets its own time."""

# --- registration and end-to-end acknowledgement ------------------------------------------------

REG_FIRST_MS: Final = 120_000
"""Jitter of the first registration with a root that knows nobody yet: a channel of 50 kbps carries
about six registrations a second, and a thousand meters may have booted together."""
ROOT_YOUNG_MS: Final = 2 * REG_FIRST_MS
"""A root that booted without its table says nothing of its size for so long."""
REG_KNOWN_MS: Final = 30_000
"""The same with a root that says how many it knows."""
REG_AGAIN_MS: Final = 4_000
"""Jitter when a way back to a root was found that knows us."""
REG_MOVED_MS: Final = 4_000
"""Jitter of who had a way all the time and only changed its gateway: few do at a time."""
REG_JITTER_PER_NODE_MS: Final = 150
"""Each jitter grows with the nodes the root says it has."""
SIZE_CODE_MAX: Final = 15
"""The size of a network is advertised as the bit length of its number of nodes."""
REG_RETRY_MS: Final = 3_000
REG_TRIES: Final = 3
REG_PAUSE_MS: Final = 60_000
REG_PAUSE_MAX_MS: Final = 600_000
REG_LIFETIME_S: Final = 7_200
REG_REFRESH_PERCENT: Final = 90
REG_CHANGE_MS: Final = 1_000
"""A changed parent is registered after a jitter of up to this."""
ACK_EVERY_PAYLOADS: Final = 16
"""The root acknowledges at the latest after this many payloads of one origin."""
ACK_GAP_MS: Final = 5_000
"""Wait before the root asks for a gap: a frame on its retry may still fill it."""
OWED_AGAIN_MS: Final = 10_000
"""A root tries this soon again to answer a node it knew no way to."""
RESEND_MS: Final = 7_920_000
"""2.2 h: all unacknowledged payloads are sent again."""
HELD_MS: Final = 300_000
"""Payloads of a former boot are sent after this time although no registration was answered."""
ACK_MARGIN_MS: Final = 10_000
"""A payload sent this shortly before a registration is not called missing by its answer."""
ACK_BITMAP_BITS: Final = 64

# --- gateway uplink -----------------------------------------------------------------------------

UNGROUND_MS: Final = 30_000
UNGROUND_RANK_MS: Final = 120_000

# --- outage mode --------------------------------------------------------------------------------

OUTAGE_SHARE_PERCENT: Final = 30
OUTAGE_WINDOW_MS: Final = 60_000
OUTAGE_GATHER_MS: Final = 2_000
"""Outage reports of neighbours are gathered this long into one frame."""

# --- join ---------------------------------------------------------------------------------------

JOIN_PROXY_GAP_MS: Final = 5_000
"""A proxy relays one join request per this time."""
JOIN_RETRY_MS: Final = 10_000
"""Between two requests at first; doubles to JOIN_RETRY_MAX_MS."""
JOIN_RETRY_MAX_MS: Final = 160_000
JOIN_SPREAD_MS: Final = 2_000
"""Proxies that hear one request vouch at different times within this."""
JOIN_BLOB_MAX: Final = 120

# --- table and queue bounds ---------------------------------------------------------------------

NEIGHBOURS_MAX: Final = 16
"""Candidates for parents a meter follows; children are kept apart."""
CHILDREN_MAX: Final = 128
"""Beyond it a relay answers NOTCHILD, never silence (Contiki-NG #2933)."""
ROOT_CHILDREN_MAX: Final = 4_096
ROOT_NEIGHBOURS_MAX: Final = 1_024
LINK_PEERS_MAX: Final = 160
ROOT_LINK_PEERS_MAX: Final = 5_120
ROOTS_MAX: Final = 4
"""Roots whose feasibility distance a node remembers."""
DUPLICATES_MAX: Final = 512
ROOT_DUPLICATES_MAX: Final = 8_192
RELAY_QUEUE_MAX: Final = 16
ROOT_QUEUE_MAX: Final = 64
OWN_QUEUE_MAX: Final = 16
"""Slots beside the relay queue for a node's own frames (report, registration, probes)."""
STORE_MAX: Final = 4_320
"""45 days of 15-min readings."""
CUSTODY_MAX: Final = 512
ROUTES_MAX: Final = 10_000
COMMANDS_MAX: Final = 1_024
BANS_MAX: Final = 1_024
RECEIVED_MAX: Final = 64
"""Command sequences a meter remembers against repetition."""
ROOT_WINDOW_BITS: Final = 4_096
"""Payloads beyond the high-water mark a root remembers per origin."""
COUNTER_BLOCK: Final = 4_096
"""Counter values reserved by one write of the state blob."""
