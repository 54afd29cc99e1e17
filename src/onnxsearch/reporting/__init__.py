"""Results to look at: contact sheets, notebook cells, pages that stand alone."""
