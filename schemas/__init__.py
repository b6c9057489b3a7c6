"""What comes in and what goes out: readings, resources, settings. Imports nothing else of ours."""
