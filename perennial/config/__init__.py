"""The YAML files a team writes: models, safe reading, and errors with line numbers."""
