"""The command line: scores saved answers, compares runs, lists them, writes their report. No torch."""
