"""What does it mean? Directions read as words."""
