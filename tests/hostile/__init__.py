"""Files that mean harm, and what a crawl makes of them."""
