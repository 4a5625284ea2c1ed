"""The path of an order: submit -> sequence -> apply (hold, match, settle) -> journal -> publish -> answer.

Begin at writer.py.
"""
