"""Tables derived from the journal: each projection follows it with its own watermark and can be dropped and rebuilt."""
