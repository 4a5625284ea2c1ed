"""Roles apart: the path of an order over several processes, with Redis between them.

    api, publisher                       engine                                   projector
    RemoteCorridor ── commands:{epoch} ──> Desk ─> Corridor ─> journal            ProjectionRunner
         ▲ └────────── answers:{api} <──────┘         │                               │ ▲
    Follower <─────── entries <───────────────────────┴─ every durable batch ──────────┼─┘
         └─────────── tables <─────────────────────────── how far the tables are ─────┘

Redis passes on what is asked and what is durable, and keeps nothing. Whoever misses a message reads the journal.
"""
