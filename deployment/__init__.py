"""How settings become components: one module a part of the deployment, each a function or two."""
