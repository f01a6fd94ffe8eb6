"""What tasks of one medium share."""
