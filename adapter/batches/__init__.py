"""A file of requests, answered once each: here, or on Ray."""
