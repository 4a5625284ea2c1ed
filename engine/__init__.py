"""The matching engine: `engine.matching` (fast, Cython) and `engine.reference` (slow, obvious), one behaviour."""
