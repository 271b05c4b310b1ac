"""Order: one file a flow; each reads as its directed graph, on one screen."""
