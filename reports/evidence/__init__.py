"""What was measured: records in, a value for each metric of each run out, small enough that ten thousand fit."""
