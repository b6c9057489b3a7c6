"""What a process says to the people who run it: log lines and the progress of long work."""
