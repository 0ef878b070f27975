"""`ops drill`: a checkpoint restored beside the running system, proven, measured and removed again."""
