"""What may cross a boundary: commands, events, units, refusals, order states.

Imports nothing of ours but the record layouts.
"""
