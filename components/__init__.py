"""The ComponentResources of the deployment: one a file, with typed args and typed outputs."""
