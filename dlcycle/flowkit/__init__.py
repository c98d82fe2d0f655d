"""What every flow of dlcycle shares. The only part of the package that imports Metaflow."""
