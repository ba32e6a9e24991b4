"""What is measured: pins and profiles (matrix.toml), locks, and one file per case."""
