"""One engine's run in its own interpreter, which need not have anything of ours: called by tests.performance.bare_book.

    python peer_process.py PEER FLOW

FLOW is a file with a marshalled flow; the answer on standard output, marshalled: CPU time taken in ns, bytes that the
resident set has grown by, trades.
"""

import marshal
import os
import sys
from pathlib import Path

import drive
import peers


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    # Engines print; only the answer may reach our reader.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    make, _ = peers.PEERS[sys.argv[1]]
    flow = marshal.loads(Path(sys.argv[2]).read_bytes())
    peer = make()
    before = resident_bytes()
    took = drive.peer_calls(peer, flow)
    grown = resident_bytes() - before
    answer.write(marshal.dumps((took, grown, [tuple(int(value) for value in trade) for trade in peer.trades()])))
    answer.flush()
    os._exit(0)  # some engines do not survive their own end


if __name__ == "__main__":
    main()
