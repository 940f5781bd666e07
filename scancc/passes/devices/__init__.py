"""What a device needs besides: launches, who runs what, and what is held where."""
