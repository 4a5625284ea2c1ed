"""Orders as their owners, the tables and the wire see them: compiled, since every order passes here.

Nothing here matches or keeps accounts. It reads and writes the records of engine/records.py:

    request ──> PLACE record          events ──> state of an order ──> JSON, table rows
"""
