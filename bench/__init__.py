"""Speed, memory, start-up and agreement, each measured beside what it has to be compared with."""
