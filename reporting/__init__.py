"""What a process shows the people who run it: log lines, what it waits for, progress, tables."""
