"""Reading the views: one struct for each thing that a page shows and the API answers."""
