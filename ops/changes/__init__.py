"""Changes of what people work with: behind closed doors, and back by themselves when they fail."""
