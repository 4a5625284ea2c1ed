"""What every message of a client passes on its way in: compiled. It knows bytes, and nothing of orders."""
