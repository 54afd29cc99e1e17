"""Reports: contact sheets, notebook cells, HTML pages. They draw plain rows of cards."""
