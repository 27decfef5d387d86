"""What remains: the shrunk network, saved and loaded."""
