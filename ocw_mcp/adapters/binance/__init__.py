"""What the live feed and the venue share: the exchange's hosts, and the transport of requests and streams."""
