"""What a table is like, and the pipeline that follows from it: facts, guesses with reasons, learned bounds, YAML."""
