"""The way in: signatures, the shapes of incoming events, and the routes that put them into the flows' queues."""
