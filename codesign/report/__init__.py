"""What people look at: block diagrams of chips, pages of plots. One file each, with nothing to fetch."""
