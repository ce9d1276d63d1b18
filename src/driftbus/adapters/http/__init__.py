"""What is seen from outside: `/metrics`, health, the JSON API and the page."""
