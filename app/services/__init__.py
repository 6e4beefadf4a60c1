"""The verbs: store, find, retrieve, recover."""
