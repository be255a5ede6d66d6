"""What runs on a rented machine before our agent does: the door, the brakes, what installs. Standard library only."""
