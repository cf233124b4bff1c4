"""Many pictures: every core busy, the frames of animations and films, and clusters."""
