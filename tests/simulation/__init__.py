"""The exchange in virtual time: processes that crash, pause and lead twice, in one seeded run that replays exactly.

    python -m tests.simulation SEED [--trace]

What is real: the corridor with its writer, engine, recovery, client order ids and live state, and the gateway from the
checked request on. What is simulated: the clock and the event loop (loop.py), Postgres (postgres.py), the network and
the machines (machine.py, world.py), the traders (trader.py). oracle.py says what must hold after every run; mutants.py
breaks the exchange on purpose, so that it is known what the oracle notices.
"""
