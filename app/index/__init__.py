"""What Elasticsearch holds and how it is asked: pure functions."""
