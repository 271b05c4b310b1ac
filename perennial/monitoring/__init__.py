"""What is measured on served predictions, what it means, and who is told."""
