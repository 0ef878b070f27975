"""`ops training`: production's data to practise on, in a system that nobody can take for production."""
