"""`ops release`: what a new release means, and updates that go back by themselves when they fail."""
